import { openUserKeyRequest, UserKeyRequestError, type ReceivedRequest } from '#cli/contract/user-key-request.ts';
import type { HpkeKeyPair } from '#cli/contract/hpke.ts';
import type { UserKeyOperation } from '#cli/contract/request-control.ts';
import type { RefusalCode, UserKeyResponse } from '#cli/contract/responses.ts';
import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { UserKeyRequest, UserKeyRequestStatus } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Reconcile } from '#operator/kube/controller-runner.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Store } from '#operator/kube/informer.ts';
import { userKeyRequests } from '#operator/kube/keyring-resources.ts';

import { carryOut, type OrderApplier } from './apply.ts';
import { decideOrder } from './decide.ts';
import { answerMs, phaseOf } from './lifecycle.ts';
import { observeOrder, type OrderObserver } from './observe.ts';
import { refusals } from './refusals.ts';
import type { RequestLimiter } from './request-limiter.ts';

/** How soon to look again for a UserKey to be gone. */
const goneCheckMs = 500;

export interface IntakeDependencies extends Omit<OrderObserver, 'keyStore'>, OrderApplier {
  readonly client: Pick<KubeClient, 'apply' | 'delete' | 'mergePatch'>;
  readonly requests: Pick<Store<UserKeyRequest>, 'get'>;
  readonly keyPairOf: (keyId: string) => HpkeKeyPair | undefined;
  readonly limiter: RequestLimiter;
  readonly observer?: IntakeObserver;
}

/** What is measured of intake. */
export interface IntakeObserver {
  answered(sample: { readonly operation: UserKeyOperation; readonly outcome: 'ok' | RefusalCode }): void;
}

type Answer =
  | { readonly kind: 'sealed'; readonly sealedResponse: string }
  | { readonly kind: 'failed'; readonly reason: 'Unreadable' | 'KeyIdUnknown'; readonly message: string };

/** Handles one UserKeyRequest: opens it, carries it out, answers in its status, and removes it in the end. */
export function intakeReconcile(deps: IntakeDependencies): Reconcile {
  return async ({ namespace = '', name }, signal) => {
    const request = deps.requests.get(namespace, name);
    if (request === undefined || request.metadata.deletionTimestamp !== undefined) return {};
    const phase = phaseOf(request, deps.now().getTime());
    switch (phase.kind) {
      case 'keep':
        return { requeueAfterMs: phase.forMs };
      case 'remove':
        await remove(deps, request);
        return {};
      case 'handle': {
        const answer = await answerTo(deps, request);
        if (answer === 'wait') return { requeueAfterMs: goneCheckMs };
        await writeAnswer(deps, request, { answer, signal });
        return { requeueAfterMs: answerMs };
      }
    }
  };
}

async function answerTo(deps: IntakeDependencies, request: UserKeyRequest): Promise<Answer | 'wait'> {
  const { keyId, requester, enc, ciphertext } = request.spec;
  const keyPair = deps.keyPairOf(keyId);
  if (keyPair === undefined) {
    const message = 'The request is sealed to a key that is no longer in use. Send it again.';
    return { kind: 'failed', reason: 'KeyIdUnknown', message };
  }
  const place = { namespace: request.metadata.namespace ?? '', username: requester.username };
  try {
    using received = openUserKeyRequest(keyPair, place, { enc, ciphertext });
    const response = await responseTo(deps, request, received);
    return response === 'wait' ? response : { kind: 'sealed', sealedResponse: received.sealResponse(response) };
  } catch (error) {
    if (!(error instanceof UserKeyRequestError)) throw error;
    const message = 'The request does not open: it was altered, or made for another user or namespace.';
    return { kind: 'failed', reason: 'Unreadable', message };
  }
}

async function responseTo(
  deps: IntakeDependencies,
  request: UserKeyRequest,
  received: ReceivedRequest,
): Promise<UserKeyResponse | 'wait'> {
  const { requester } = request.spec;
  const nowMs = deps.now().getTime();
  if (!deps.limiter.admits(requester.username, request.metadata.uid ?? '', nowMs)) return refusals.tooMany;
  if (received.order.kind === 'malformed') return refusals.malformed;
  const order = received.order.value;
  const observed = await observeOrder(deps, request, order);
  const carried = await carryOut(deps, { request, observed, decision: decideOrder(observed) });
  if (carried.kind === 'wait') return 'wait';
  const { response } = carried;
  const outcome = response.outcome === 'ok' ? 'ok' : response.code;
  deps.observer?.answered({ operation: order.control.operation, outcome });
  return response;
}

async function writeAnswer(
  deps: IntakeDependencies,
  request: UserKeyRequest,
  { answer, signal }: { readonly answer: Answer; readonly signal: AbortSignal },
): Promise<void> {
  const { namespace = '', name } = request.metadata;
  const patch = { status: statusOf(request, answer, deps.now()) };
  try {
    await deps.client.mergePatch(userKeyRequests, { namespace, name }, patch, { subresource: 'status', signal });
  } catch (error) {
    if (!isKubeError(error, 'NotFound')) throw error;
  }
}

function statusOf(request: UserKeyRequest, answer: Answer, now: Date): UserKeyRequestStatus {
  const { generation } = request.metadata;
  const at = now.toISOString();
  return {
    ...(generation !== undefined && { observedGeneration: generation }),
    ...(answer.kind === 'sealed' && { sealedResponse: answer.sealedResponse }),
    completedAt: at,
    conditions: [
      {
        ...conditionOf(answer),
        ...(generation !== undefined && { observedGeneration: generation }),
        lastTransitionTime: at,
      },
    ],
  };
}

/** It says that there is an answer, never which: others may be allowed to read the object. */
function conditionOf(answer: Answer): KeyringCondition {
  switch (answer.kind) {
    case 'sealed':
      return {
        type: 'Complete',
        status: 'True',
        reason: 'Answered',
        message: 'The answer is in status.sealedResponse',
      };
    case 'failed':
      return { type: 'Complete', status: 'False', reason: answer.reason, message: answer.message };
  }
}

async function remove({ client }: IntakeDependencies, { metadata }: UserKeyRequest): Promise<void> {
  const { namespace = '', name, uid } = metadata;
  await client.delete(userKeyRequests, { namespace, name }, uid === undefined ? {} : { preconditionUid: uid });
}
