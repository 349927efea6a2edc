import type { HeaderField } from '#cli/contract/header-list.ts';
import type { Refusal, UserKeyResponse } from '#cli/contract/responses.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey, UserKeyApproval, UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';
import type { ApprovalOrders } from '#operator/approvals/approval-orders.ts';
import { approvalNotice, askApproval, asksBySetting } from '#operator/approvals/ask-approval.ts';
import type { TokenOrders } from '#operator/access-tokens/token-orders.ts';
import type { AuditLog, DenialEvent, KeyEvent } from '#operator/audit/audit-log.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { writeKeyStatus } from '#operator/key-state/write-status.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyAddress, KeyStore, StoredKey } from '#operator/keystore/key-store.ts';
import { revokedVersion, versionToOpen } from '#operator/keystore/revoked.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';
import type { RevocationOrders } from '#operator/revocation/revocation-orders.ts';
import { subjectToRecord } from '#operator/subjects/groups-on-record.ts';
import { describeTried } from '#operator/validation/describe.ts';
import type { Tried } from '#operator/validation/prober.ts';
import type { KeyTrials } from '#operator/validation/trials.ts';

import { type Merge, mergeValues } from './merged-values.ts';
import {
  type AskDecision,
  ok,
  type DestroyDecision,
  type OrderDecision,
  type StoreDecision,
  type TryDecision,
} from './decide.ts';
import type { ObservedOrder, ObservedServer } from './observe.ts';
import { refusals } from './refusals.ts';
import type { RequestLimiter } from './request-limiter.ts';
import { askForApproval } from './ask.ts';
import { serverState } from './server-state.ts';
import { tryFirst, tryKey } from './try-key.ts';
import type { Turns } from './turns.ts';
import { intakeFieldManager, userKeyFor } from './user-key-object.ts';

export interface OrderApplier {
  readonly client: Pick<KubeClient, 'apply' | 'delete'>;
  readonly keyStore: KeyStore;
  readonly trials: Pick<KeyTrials, 'try' | 'record'>;
  /** Of keys that one requester has tried. */
  readonly tryLimiter: Pick<RequestLimiter, 'admits'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly turns: Turns;
  readonly tokenOrders: Pick<TokenOrders, 'carryOut'>;
  readonly revocations: Pick<RevocationOrders, 'carryOut'>;
  readonly approvals: Pick<ApprovalOrders, 'carryOut'>;
  readonly now: () => Date;
}

/** What was carried out: the answer, or that it has to wait. */
export type Carried = { readonly kind: 'response'; readonly response: UserKeyResponse } | { readonly kind: 'wait' };

export interface CarryOut {
  readonly request: UserKeyRequest;
  readonly observed: ObservedOrder;
  readonly decision: OrderDecision;
}

/**
 * Writes what was decided. It rejects when it should be tried again as a whole: each step may run twice, and the audit event has
 * the request's UID as its id, so that it counts once.
 */
export async function carryOut(to: OrderApplier, { request, observed, decision }: CarryOut): Promise<Carried> {
  switch (decision.kind) {
    case 'answer':
      return { kind: 'response', response: decision.response };
    case 'wait':
      return decision;
    case 'refuse':
      if (decision.isDenial) await to.audit.append(denialEvent(to, request, { observed, refusal: decision.refusal }));
      return { kind: 'response', response: decision.refusal };
    case 'token':
      return { kind: 'response', response: await to.tokenOrders.carryOut(decision.order, request) };
    case 'revoke':
      return await answered(to, { request, observed }, await to.revocations.carryOut(decision.order, request));
    case 'approval':
      return await answered(to, { request, observed }, await to.approvals.carryOut(decision.order, request));
    case 'ask':
    case 'store':
    case 'try':
    case 'destroy':
      return await carryOutInTurn(to, { request, observed, decision });
  }
}

type InTurn = AskDecision | StoreDecision | TryDecision | DestroyDecision;

/** What is about one key, which no other order may be about meanwhile. */
async function carryOutInTurn(
  to: OrderApplier,
  { request, observed, decision }: CarryOut & { readonly decision: InTurn },
): Promise<Carried> {
  using _turn = await takeTurn(to, decision.kind === 'destroy' ? decision : decision.target.address);
  switch (decision.kind) {
    case 'ask': {
      const response = await askForApproval(to, decision, request);
      return response === 'wait' ? { kind: 'wait' } : { kind: 'response', response };
    }
    case 'store':
      return await store(to, { request, observed, decision });
    case 'try':
      return { kind: 'response', response: await tryKey(to, decision, request) };
    case 'destroy':
      return { kind: 'response', response: await destroy(to, { request, observed, decision }) };
  }
}

async function answered(
  to: OrderApplier,
  { request, observed }: Pick<CarryOut, 'request' | 'observed'>,
  { response, isDenial }: { readonly response: UserKeyResponse; readonly isDenial: boolean },
): Promise<Carried> {
  if (isDenial && response.outcome === 'refused') {
    await to.audit.append(denialEvent(to, request, { observed, refusal: response }));
  }
  return { kind: 'response', response };
}

function takeTurn({ turns, keyStore }: OrderApplier, address: Pick<KeyAddress, 'server' | 'subject'>) {
  return turns.take(`${address.server.namespace}/${keyStore.userKeyNameOf(address)}`);
}

/**
 * The version goes on record after the key is sealed: the other way round, a failure in between would lock out the key that was
 * there. Until it is on record nobody is handed the key of a UserKey that is new, so what somebody puts in its place until then
 * never counts. All of that is before the answer.
 */
async function store(to: OrderApplier, work: CarryOut & { readonly decision: StoreDecision }): Promise<Carried> {
  const { target, fields, declaredEndMs, notices } = work.decision;
  const first = await tryFirst(to, target, { fields, request: work.request });
  if (first.kind === 'refused') return { kind: 'response', response: first.response };
  const userKey = await to.client.apply(userKeys, userKeyFor(to.keyStore, target), {
    fieldManager: intakeFieldManager,
  });
  if (userKey.metadata.deletionTimestamp !== undefined) return { kind: 'wait' };
  const put = await putMerged(to.keyStore, {
    target,
    fields,
    declaredEndMs,
    onRecord: versionToOpen(userKey),
    versionAbove: Math.max(versionOnRecord(userKey) ?? 0, revokedVersion(userKey)),
  });
  if (put.kind === 'refused') return { kind: 'response', response: put.response };
  const { stored, replacedUnreadable } = put;
  await recordStored(to, userKey, { version: stored.version, groups: target.groups });
  await to.audit.append(
    keyEvent(to, work, { type: 'key.set', keyVersion: stored.version, headerNames: namesOf(fields) }),
  );
  const { tried } = first;
  const verification = await recordTrial(to, { userKey, target, tried, version: stored.version });
  const approval = await approvalAfter(to, work, userKey);
  const status = {
    version: stored.version,
    ...(verification === undefined ? {} : { verification }),
    ...(approval.stands === undefined ? {} : { approval: approval.stands }),
  };
  const response = {
    ...ok(target.address.subject),
    operation: 'set',
    key: serverState({ ...target, stored, userKey: { ...userKey, status } }),
    notices: [...notices, ...(replacedUnreadable ? [unreadableNotice] : []), ...approval.notices],
    ...(tried === undefined ? {} : { check: describeTried(tried, target.server) }),
  } as const;
  return { kind: 'response', response };
}

/** After the key is on record: nobody is handed it before it is approved, whatever happens in between. */
async function approvalAfter(
  to: OrderApplier,
  { request, decision: { target } }: CarryOut & { readonly decision: StoreDecision },
  userKey: UserKey,
): Promise<{ readonly stands: UserKeyApproval | undefined; readonly notices: readonly string[] }> {
  const { approval: rules, address } = target;
  const known = userKey.status?.approval;
  if (rules === undefined) return { stands: known, notices: [] };
  const now = to.now();
  const { organization, server } = address;
  const stands = asksBySetting(userKey, rules, now)
    ? await askApproval(to, { userKey, rules, organization, reason: undefined, request })
    : known;
  const notice = approvalNotice(stands, rules, { server: server.name, now });
  return { stands, notices: notice === undefined ? [] : [notice] };
}

interface FirstRecord {
  readonly userKey: UserKey;
  readonly target: ObservedServer;
  readonly tried: Tried | undefined;
  readonly version: number;
}

async function recordTrial(
  { trials }: OrderApplier,
  { target, tried, ...trial }: FirstRecord,
): Promise<UserKeyVerification | undefined> {
  if (tried === undefined || tried.finding.reason === 'HeadersMissing') return undefined;
  return await trials.record({ ...trial, tried, server: target.server, rules: target.validation });
}

const unreadableNotice = 'The key that was stored before could not be read, so only what you gave now is set.';

interface Recorded {
  readonly version: number;
  readonly groups: readonly string[];
}

async function recordStored(to: OrderApplier, userKey: UserKey, { version, groups }: Recorded): Promise<void> {
  const subject = subjectToRecord(userKey, groups, to.now()) ?? userKey.status?.subject;
  const status = { version, ...(subject === undefined ? {} : { subject }) };
  await writeKeyStatus(to.client, userKey, { fieldManager: intakeFieldManager, status });
}

type Put =
  | { readonly kind: 'stored'; readonly stored: StoredKey; readonly replacedUnreadable: boolean }
  | { readonly kind: 'refused'; readonly response: UserKeyResponse };

/** Sets the given headers and keeps the others that are still declared. */
async function putMerged(
  keyStore: KeyStore,
  { versionAbove, ...merge }: Merge & { readonly versionAbove: number },
): Promise<Put> {
  const { address } = merge.target;
  using owned = new DisposableStack();
  try {
    const merged = owned.use(await mergeValues(keyStore, merge));
    const stored = await keyStore.put(address, merged.values, {
      versionAbove,
      ...merged.replacing,
    });
    return { kind: 'stored', stored, replacedUnreadable: merged.replacedUnreadable };
  } catch (error) {
    if (!(error instanceof KeyStoreError) || error.code === 'WriteConflict') throw error;
    return { kind: 'refused', response: error.code === 'NotSealable' ? refusals.tooLarge : refusals.storeUnavailable };
  }
}

/** The sealed key goes first, so that it is gone at once; the UserKey follows through its finalizer. */
async function destroy(
  to: OrderApplier,
  work: CarryOut & { readonly decision: DestroyDecision },
): Promise<UserKeyResponse> {
  const { server, subject, userKey } = work.decision;
  const destroyed = await to.keyStore.destroy({ server, subject });
  if (userKey !== undefined) {
    const { namespace = server.namespace, name, uid } = userKey.metadata;
    await to.client.delete(userKeys, { namespace, name }, uid === undefined ? {} : { preconditionUid: uid });
  }
  const deleted = destroyed || userKey !== undefined;
  if (deleted) await to.audit.append(keyEvent(to, work, { type: 'key.delete', headerNames: [] }));
  return { ...ok(subject), operation: 'delete', server: server.name, deleted };
}

function keyEvent(
  { now }: OrderApplier,
  { request, observed, decision }: CarryOut & { readonly decision: StoreDecision | DestroyDecision },
  what: Pick<KeyEvent, 'type' | 'keyVersion' | 'headerNames'>,
): KeyEvent {
  const { server, subject } = decision.kind === 'store' ? decision.target.address : decision;
  return {
    ...what,
    id: request.metadata.uid ?? '',
    at: now().toISOString(),
    ...(observed.tenancy.kind === 'organization' && { organization: observed.tenancy.name }),
    server,
    subject,
    actor: request.spec.requester.username,
  };
}

function denialEvent(
  { now }: OrderApplier,
  request: UserKeyRequest,
  { observed, refusal }: { readonly observed: ObservedOrder; readonly refusal: Refusal },
): DenialEvent {
  const { tenancy, requester, permission, namespace } = observed;
  const server = permission.kind === 'missing' ? permission.right.server : undefined;
  return {
    type: 'denied',
    id: request.metadata.uid ?? '',
    at: now().toISOString(),
    ...(tenancy.kind === 'organization' && { organization: tenancy.name }),
    ...(server !== undefined && { server: { namespace, name: server } }),
    ...(requester.kind === 'identified' && { subject: requester.subject }),
    action: 'user-key-request',
    reason: refusal.code,
    message: refusal.message,
  };
}

function namesOf(fields: readonly HeaderField[]): readonly string[] {
  return fields.map(({ name }) => name);
}
