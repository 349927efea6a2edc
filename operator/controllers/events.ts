import type { Condition, Event } from '#operator/kube/resources.ts';

/** Something that happened to an object, for the people who look at it. */
export interface ObjectEvent {
  readonly type: Event['type'];
  readonly reason: string;
  readonly note: string;
}

/**
 * One event for each condition that changed its status or reason. What an object is born with is news only when it is bad news,
 * and a condition that merely went away (`Reconciling`) is none.
 */
export function eventsOf(
  before: readonly Condition[] | undefined,
  after: readonly Condition[],
): readonly ObjectEvent[] {
  return after.flatMap((condition) => {
    const previous = before?.find(({ type }) => type === condition.type);
    if (previous?.status === condition.status && previous.reason === condition.reason) return [];
    const bad = isBad(condition);
    if (condition.status === 'Unknown' || condition.type === 'Reconciling') return [];
    if (!bad && previous === undefined) return [];
    return [{ type: bad ? 'Warning' : 'Normal', reason: condition.reason, note: condition.message } as const];
  });
}

/** Conditions that are abnormal when true; all others are when false. */
const abnormalTrue: ReadonlySet<string> = new Set(['Stalled', 'NamespacesConflict', 'NamespacesExcluded']);

/** Not what one wants in the end, but nothing that went wrong. */
const ordinaryReasons: ReadonlySet<string> = new Set(['NoPolicy', 'NoPods', 'DeploymentProgressing']);

function isBad(condition: Condition): boolean {
  if (ordinaryReasons.has(condition.reason)) return false;
  return (condition.status === 'True') === abnormalTrue.has(condition.type);
}
