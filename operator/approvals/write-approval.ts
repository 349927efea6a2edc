import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { writeKeyStatus } from '#operator/key-state/write-status.ts';

/** Owns `status.approval` and nothing else. */
const fieldManager = 'mcp-keyring-approvals';

/** @throws KubeError, also when the UserKey was replaced by a later one, about which nobody has decided */
export async function writeApproval(
  client: Pick<KubeClient, 'apply'>,
  userKey: UserKey,
  approval: UserKeyApproval,
): Promise<void> {
  await writeKeyStatus(client, userKey, { fieldManager, status: { approval } });
}
