import type { UserKey, UserKeyStatusSubject } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { writeKeyStatus } from '#operator/key-state/write-status.ts';

/** Owns `status.subject` of UserKeys, beside intake. */
const fieldManager = 'mcp-keyring-subjects';

/** @throws KubeError, also when the UserKey was replaced by a later one */
export async function writeSubject(
  client: Pick<KubeClient, 'apply'>,
  userKey: UserKey,
  subject: UserKeyStatusSubject,
): Promise<void> {
  await writeKeyStatus(client, userKey, { fieldManager, status: { subject } });
}
