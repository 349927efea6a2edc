import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

type OnRecord = Pick<UserKey, 'status'>;

/** Whether its user may have a key, whichever they set. */
export function isApproved(userKey: OnRecord, rules: ApprovalRules | undefined, nowMs: number): boolean {
  return rules === undefined || nowMs < approvalEndsAtMs(userKey, rules);
}

/**
 * When the approval that policies want ends, in milliseconds since 1970: as the approver said, and not later than policies of now let
 * it last. Infinity: never; 0: there is none. What nobody can read has ended.
 */
export function approvalEndsAtMs({ status }: OnRecord, rules: ApprovalRules | undefined): number {
  if (rules === undefined) return Infinity;
  const { state, until, at } = status?.approval ?? {};
  if (state !== 'Granted') return 0;
  const saidMs = until === undefined ? Infinity : timeOf(until);
  const longestMs = rules.validForMs === undefined ? Infinity : timeOf(at) + rules.validForMs.value;
  return Math.min(saidMs, longestMs);
}

function timeOf(text: string | undefined): number {
  const timeMs = Date.parse(text ?? '');
  return Number.isNaN(timeMs) ? 0 : timeMs;
}
