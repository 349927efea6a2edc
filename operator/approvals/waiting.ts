import type { WaitingUser } from '#cli/contract/approval-responses.ts';
import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import { subjectKeyChars } from '#operator/keystore/names.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

import { type Approver, approverProblem } from './approver.ts';
import { describeProblem } from './refusals.ts';
import { type ApprovalStanding, approvalStanding } from './standing.ts';

const waitingAs = {
  notAsked: 'NotAsked',
  requested: 'Requested',
  renewal: 'Renewal',
  ended: 'Ended',
  granted: undefined,
  refused: undefined,
} as const satisfies Readonly<Record<ApprovalStanding, WaitingUser['waiting'] | undefined>>;

/** Pure. What an approver is told of a user who waits; undefined: they do not. */
export function waitingUser(
  { metadata, spec, status }: UserKey,
  rules: ApprovalRules | undefined,
  { approver, now }: { readonly approver: Approver; readonly now: Date },
): WaitingUser | undefined {
  if (rules === undefined || metadata.deletionTimestamp !== undefined) return undefined;
  const standing = approvalStanding(status?.approval, rules, now.getTime());
  const waiting = waitingAs[standing];
  if (waiting === undefined) return undefined;
  const { issuer, id, name } = spec.subject;
  const problem = approverProblem(approver, spec.subject, rules);
  return {
    server: spec.serverRef.name,
    key: metadata.name.slice(-subjectKeyChars),
    user: { issuer, id, name },
    waiting,
    ...askedFor(status?.approval, standing),
    ...(problem === undefined ? {} : { undecidable: describeProblem(problem) }),
  };
}

/** Of a grant that has ended nothing but that is of interest. */
function askedFor(
  approval: UserKeyApproval | undefined,
  standing: ApprovalStanding,
): Pick<WaitingUser, 'askedAt' | 'reason' | 'until'> {
  const until = approval?.until === undefined ? {} : { until: approval.until };
  const asked = standing === 'renewal' ? approval?.renewal : approval;
  if (asked === undefined || standing === 'ended') return until;
  return { askedAt: asked.at, ...(asked.reason === undefined ? {} : { reason: asked.reason }), ...until };
}
