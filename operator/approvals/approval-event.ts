import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { Subject } from '#contract/lease.ts';
import type { ApprovalEvent } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';

interface What {
  readonly type: ApprovalEvent['type'];
  /** Of the request: a second attempt at it records the same event. */
  readonly requestUid: string;
  readonly organization: string;
  readonly approval: Pick<UserKeyApproval, 'until' | 'reason'>;
  readonly approver?: Subject;
  readonly groups?: readonly string[];
  readonly actor: string;
  readonly now: Date;
}

/** Pure. */
export function approvalEvent({ metadata, spec }: UserKey, what: What): ApprovalEvent {
  const { type, requestUid, organization, approval, approver, groups, actor, now } = what;
  const { until, reason } = approval;
  return {
    type,
    id: uuidOf(`${type}/${requestUid}`),
    at: now.toISOString(),
    organization,
    server: { namespace: metadata.namespace ?? '', name: spec.serverRef.name },
    subject: spec.subject,
    ...(until === undefined ? {} : { until }),
    ...(reason === undefined ? {} : { reason }),
    ...(approver === undefined ? {} : { approver }),
    ...(groups === undefined ? {} : { groups }),
    actor,
  };
}
