import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';

import { approvalEvent } from './approval-event.ts';
import { askedApproval } from './decide.ts';
import { approvalStanding } from './standing.ts';
import { writeApproval } from './write-approval.ts';

export interface ApprovalAskerOptions {
  /** Fenced: only the leader writes about approval. */
  readonly client: Pick<KubeClient, 'apply'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly now: () => Date;
}

/** A user who asks, and the UserKey as the API server has it now. */
export interface ApprovalAsk {
  readonly userKey: UserKey;
  readonly rules: ApprovalRules;
  readonly organization: string;
  readonly reason: string | undefined;
  readonly request: UserKeyRequest;
}

/**
 * Puts on record that a user waits for approval, where it is not there yet. Resolves what is on record then.
 * @throws AuditError, KubeError
 */
export async function askApproval(
  { client, audit, now }: ApprovalAskerOptions,
  { userKey, rules, organization, reason, request }: ApprovalAsk,
): Promise<UserKeyApproval> {
  const at = now();
  const approval = askedApproval(userKey, rules, { at, reason });
  if (approval === userKey.status?.approval) return approval;
  const { metadata, spec } = request;
  const actor = spec.requester.username;
  const said = reason === undefined ? {} : { reason };
  const common = { type: 'approval.requested', requestUid: metadata.uid ?? '', organization, actor, now: at } as const;
  await audit.append(approvalEvent(userKey, { ...common, approval: said }));
  await writeApproval(client, userKey, approval);
  return approval;
}

/** Whoever sets a key asks for it to be approved, unless they have it, or somebody said no: then only who asks for it in words does. */
export function asksBySetting(userKey: UserKey, rules: ApprovalRules, now: Date): boolean {
  const standing = approvalStanding(userKey.status?.approval, rules, now.getTime());
  return standing === 'notAsked' || standing === 'ended';
}

/** What somebody is told whose key was stored and is not used yet; undefined: it is. */
export function approvalNotice(
  approval: UserKeyApproval | undefined,
  rules: ApprovalRules,
  { server, now }: { readonly server: string; readonly now: Date },
): string | undefined {
  const standing = approvalStanding(approval, rules, now.getTime());
  if (standing === 'granted' || standing === 'renewal') return undefined;
  return (
    `UserKeyPolicy ${rules.requiredBy} asks for approval, and you have asked for it: the key is used as soon as an approver grants it. ` +
    `To tell them why you need it: kubectl mcpkeys request ${server} --reason '...'`
  );
}
