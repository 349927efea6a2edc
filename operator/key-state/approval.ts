import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { grantEndMs } from '#operator/approvals/standing.ts';
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
  const approval = status?.approval;
  if (approval?.state !== 'Granted') return 0;
  const endsAtMs = grantEndMs(approval, rules);
  return Number.isNaN(endsAtMs) ? 0 : endsAtMs;
}
