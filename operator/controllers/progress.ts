import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { KubeError } from '#operator/kube/errors.ts';
import type { Condition } from '#operator/kube/resources.ts';

import { stampConditions } from './conditions.ts';
import type { StatusBase } from './decision.ts';
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

export interface Failure {
  readonly object: Reconciled;
  readonly status: StatusBase | undefined;
  readonly error: KubeError;
  readonly now: Date;
}

/** The status after a step failed: what it was, except that `Ready` is False and why. Stalled when trying again cannot help. */
export function failedStatus({ object, status, error, now }: Failure): StatusBase {
  const hopeless = error.code === 'Invalid';
  const message = hopeless
    ? `The API server refused what this spec asks for; correct the spec: ${error.message}`
    : `Not applied, and tried again: ${error.message}`;
  return withConditions(object, {
    now,
    kept: status,
    conditions: [
      { type: 'Ready', status: 'False', reason: 'ApplyFailed', message },
      hopeless
        ? { type: 'Stalled', status: 'True', reason: 'ApplyRejected', message }
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
