import type { UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

/** What an approver has to know of a user: whether they may have a key now, and whether they wait for somebody. */
export type ApprovalStanding = 'notAsked' | 'requested' | 'granted' | 'renewal' | 'ended' | 'refused';

type Longest = Pick<ApprovalRules, 'validForMs'>;

/** Pure. `rules` are those of now: a grant ends earlier where policies have become stricter. */
export function approvalStanding(
  approval: UserKeyApproval | undefined,
  rules: Longest,
  nowMs: number,
): ApprovalStanding {
  if (approval === undefined) return 'notAsked';
  switch (approval.state) {
    case 'Requested':
      return 'requested';
    case 'Refused':
      return 'refused';
    case 'Granted':
      if (!(nowMs < grantEndMs(approval, rules))) return 'ended';
      return approval.renewal === undefined ? 'granted' : 'renewal';
  }
}

/** When a grant ends, in milliseconds since 1970; Infinity: never. NaN, which ends it, when it cannot be told. */
export function grantEndMs({ at, until }: Pick<UserKeyApproval, 'at' | 'until'>, { validForMs }: Longest): number {
  const said = until === undefined ? Infinity : Date.parse(until);
  return validForMs === undefined ? said : Math.min(said, Date.parse(at) + validForMs.value);
}
