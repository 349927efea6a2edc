import type { UserKeyResponse } from '#cli/contract/responses.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { viewOf } from '#operator/approvals/approval-orders.ts';
import { type ApprovalAskerOptions, askApproval } from '#operator/approvals/ask-approval.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import { subjectToRecord } from '#operator/subjects/groups-on-record.ts';
import { writeSubject } from '#operator/subjects/write-subject.ts';

import { type AskDecision, ok } from './decide.ts';
import { intakeFieldManager, userKeyFor } from './user-key-object.ts';

/** The UserKey is made where there is none: it is what shows approvers who waits, and holds no key until one is set. */
export async function askForApproval(
  to: ApprovalAskerOptions & { readonly keyStore: Pick<KeyStore, 'userKeyNameOf' | 'subjectKeyOf'> },
  { target, rules, reason }: AskDecision,
  request: UserKeyRequest,
): Promise<UserKeyResponse | 'wait'> {
  const { address } = target;
  const userKey = await to.client.apply<UserKey>(userKeys, userKeyFor(to.keyStore, target), {
    fieldManager: intakeFieldManager,
  });
  if (userKey.metadata.deletionTimestamp !== undefined) return 'wait';
  // By their groups it is decided which policies are about the user, also while they are away.
  const seen = subjectToRecord(userKey, target.groups, to.now());
  if (seen !== undefined) await writeSubject(to.client, userKey, seen);
  const { organization, server, subject } = address;
  const approval = await askApproval(to, { userKey, rules, organization, reason, request });
  const said = { operation: 'approval-request', server: server.name, approval: viewOf(approval) } as const;
  return { ...ok(subject), ...said };
}
