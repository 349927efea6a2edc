import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import type { Subject } from '#contract/lease.ts';
import type { ApprovalDecisionControl } from '#cli/contract/approval-control.ts';
import type { Refusal } from '#cli/contract/responses.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

import { type Approver, approverProblem } from './approver.ts';
import { approvalRefusals } from './refusals.ts';
import { approvalStanding } from './standing.ts';

const byCharsMax = 1_024;

/** Who decides about whom, and by which policies. */
export interface ApprovalCase {
  readonly control: ApprovalDecisionControl;
  readonly approver: Approver;
  readonly userKey: UserKey;
  readonly rules: ApprovalRules;
  /** When it was ordered, in milliseconds since 1970. */
  readonly orderedAtMs: number;
  readonly now: Date;
}

export type ApprovalVerdict =
  | { readonly kind: 'write'; readonly approval: UserKeyApproval }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly isDenial: boolean };

/** Pure. `userKey` is as the API server has it now: what somebody else decided in the meantime is not overruled unseen. */
export function decideApproval(about: ApprovalCase): ApprovalVerdict {
  const { control, approver, userKey, rules, orderedAtMs } = about;
  const problem = approverProblem(approver, userKey.spec.subject, rules);
  // Taking back never fails for a name that somebody gave themselves.
  if (problem !== undefined && !(problem.kind === 'themselves' && control.operation === 'approval-refuse')) {
    return { kind: 'refused', refusal: approvalRefusals.approver(problem, control.server), isDenial: true };
  }
  const by = decidedBy(approver.subject);
  const known = userKey.status?.approval;
  const isDecided = known !== undefined && known.state !== 'Requested' && Date.parse(known.at) >= orderedAtMs;
  if (isDecided && known.by !== by) return refuse(approvalRefusals.changed(known));
  return control.operation === 'approval-refuse' ? refusalOf(about, control, by) : grantOf(about, control, by);
}

/** As the issuer names them; users of the cluster as the API server does. */
export function decidedBy({ issuer, id }: Subject): string {
  return (issuer === kubernetesSubjectIssuer ? id : `${id} of ${issuer}`).slice(0, byCharsMax);
}

function refusalOf({ now }: ApprovalCase, { reason }: { readonly reason: string }, by: string): ApprovalVerdict {
  return { kind: 'write', approval: { state: 'Refused', at: now.toISOString(), by, reason } };
}

type Grant = Extract<ApprovalDecisionControl, { readonly operation: 'approval-grant' }>;

/** Times count from the order, so that a second attempt grants the same. */
function grantOf({ rules, orderedAtMs, now }: ApprovalCase, control: Grant, by: string): ApprovalVerdict {
  const longestMs = rules.validForMs === undefined ? Infinity : orderedAtMs + rules.validForMs.value;
  const untilMs = wantedEndMs(control, orderedAtMs) ?? longestMs;
  if (untilMs <= now.getTime()) return refuse(approvalRefusals.endInThePast(new Date(untilMs), now));
  if (untilMs > longestMs) return refuse(approvalRefusals.endTooFar(rules, new Date(longestMs)));
  if (Number.isFinite(untilMs) && untilMs > lastMs) return refuse(approvalRefusals.endTooFarAway);
  const until = Number.isFinite(untilMs) ? { until: new Date(untilMs).toISOString() } : {};
  const reason = control.reason === undefined ? {} : { reason: control.reason };
  return { kind: 'write', approval: { state: 'Granted', at: now.toISOString(), by, ...until, ...reason } };
}

/** RFC 3339 has four digits for a year. */
const lastMs = Date.parse('9999-12-31T23:59:59.999Z');

function wantedEndMs({ until, lifeSeconds }: Grant, orderedAtMs: number): number | undefined {
  if (until !== undefined) return Date.parse(until);
  return lifeSeconds === undefined ? undefined : orderedAtMs + lifeSeconds * 1_000;
}

function refuse(refusal: Refusal): ApprovalVerdict {
  return { kind: 'refused', refusal, isDenial: false };
}

/** Pure. What asking makes of what is on record; the same object where it makes nothing of it. */
export function askedApproval(
  { status }: Pick<UserKey, 'status'>,
  rules: Pick<ApprovalRules, 'validForMs'>,
  { at, reason }: { readonly at: Date; readonly reason: string | undefined },
): UserKeyApproval {
  const asked = { at: at.toISOString(), ...(reason === undefined ? {} : { reason }) };
  const known = status?.approval;
  const standing = approvalStanding(known, rules, at.getTime());
  const isGranted = standing === 'granted' || standing === 'renewal';
  if (known === undefined || !(isGranted || standing === 'requested')) return { state: 'Requested', ...asked };
  const before = isGranted ? known.renewal : known;
  const isSame = before !== undefined && (reason === undefined || reason === before.reason);
  if (isSame) return known;
  return isGranted ? { ...known, renewal: asked } : { state: 'Requested', ...asked };
}
