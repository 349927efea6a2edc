import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Condition } from '#operator/kube/resources.ts';

import { stampConditions } from './conditions.ts';
import type { StatusBase } from './decision.ts';
import { NameTakenError } from './ownership.ts';
import type { Reconciled } from './runner.ts';

/**
 * What an object says before anything was done for it. kstatus takes a missing `Ready` for fine, so `Unknown` has to be there.
 * `undefined` when it says something about `Ready` already.
 */
export function announcedStatus(object: Reconciled, now: Date): StatusBase | undefined {
  if (object.status?.conditions?.some(({ type }) => type === 'Ready') === true) return undefined;
  const message = 'Seen for the first time; objects are being applied';
  return withConditions(object, {
    now,
    kept: object.status,
    conditions: [
      { type: 'Ready', status: 'Unknown', reason: 'FirstSeen', message },
      { type: 'Reconciling', status: 'True', reason: 'Applying', message },
    ],
  });
}

/** What went wrong, as far as the user is concerned. */
export type Failure =
  /** Trying again cannot help: the spec, or something in its way, has to change. */
  | { readonly kind: 'stalled'; readonly reason: 'ApplyRejected' | 'NameTaken'; readonly message: string }
  | { readonly kind: 'retried'; readonly message: string };

/** `undefined` for what passes by itself (conflicts, outages): the log and the metrics have it, the user need not know. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof NameTakenError) return { kind: 'stalled', reason: 'NameTaken', message: error.message };
  if (isKubeError(error, 'Invalid')) {
    const message = `The API server refused what this spec asks for; correct the spec: ${error.message}`;
    return { kind: 'stalled', reason: 'ApplyRejected', message };
  }
  if (!isKubeError(error, 'Forbidden', 'NotFound', 'BadResponse')) return undefined;
  return { kind: 'retried', message: `Not applied, and tried again: ${error.message}` };
}

export interface FailedAttempt {
  readonly object: Reconciled;
  readonly status: StatusBase | undefined;
  readonly failure: Failure;
  readonly now: Date;
}

/** The status after a step failed: what it was, except that `Ready` is False and why. */
export function failedStatus({ object, status, failure, now }: FailedAttempt): StatusBase {
  const { message } = failure;
  return withConditions(object, {
    now,
    kept: status,
    conditions: [
      { type: 'Ready', status: 'False', reason: failure.kind === 'stalled' ? failure.reason : 'ApplyFailed', message },
      failure.kind === 'stalled'
        ? { type: 'Stalled', status: 'True', reason: failure.reason, message }
        : { type: 'Reconciling', status: 'True', reason: 'ApplyFailed', message },
    ],
  });
}

interface Replacement {
  readonly now: Date;
  readonly kept: StatusBase | undefined;
  readonly conditions: readonly KeyringCondition[];
}

const progressTypes: ReadonlySet<string> = new Set(['Ready', 'Reconciling', 'Stalled']);

function withConditions(object: Reconciled, { now, kept, conditions }: Replacement): StatusBase {
  const generation = object.metadata.generation;
  const others = (kept?.conditions ?? []).filter(({ type }) => !progressTypes.has(type));
  const stamped: readonly Condition[] = stampConditions(conditions, { previous: kept?.conditions, generation, now });
  return {
    ...kept,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: [...stamped, ...others],
  };
}
