import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { Condition } from '#operator/kube/resources.ts';

export interface Stamp {
  readonly previous: readonly Condition[] | undefined;
  readonly generation: number | undefined;
  readonly now: Date;
}

/** The API server refuses longer messages (`metav1.Condition`); we stop well before, status is for people. */
export const messageCharsMax = 1_024;

/** Adds generation and time. The time moves only when the status does (`metav1.Condition`). */
export function stampConditions(conditions: readonly KeyringCondition[], stamp: Stamp): readonly Condition[] {
  return conditions.map((condition) => {
    const before = stamp.previous?.find(({ type }) => type === condition.type);
    const unchanged = before?.status === condition.status;
    return {
      type: condition.type,
      status: condition.status,
      reason: condition.reason,
      message: shorten(condition.message),
      lastTransitionTime: unchanged ? before.lastTransitionTime : rfc3339Seconds(stamp.now),
      ...(stamp.generation === undefined ? {} : { observedGeneration: stamp.generation }),
    };
  });
}

/** `metav1.Time` has no fraction; writing one would make the stored value differ from ours for ever. */
export function rfc3339Seconds(at: Date): string {
  return at.toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** The first few of many names, and how many more there are. */
export function someOf(names: readonly string[], shownMax = 5): string {
  const shown = names.slice(0, shownMax).join(', ');
  return names.length > shownMax ? `${shown} and ${names.length - shownMax} more` : shown;
}

function shorten(message: string): string {
  return message.length <= messageCharsMax ? message : `${message.slice(0, messageCharsMax - 1)}…`;
}
