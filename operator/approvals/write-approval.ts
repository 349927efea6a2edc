import type { UserKey, UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';

/** Owns `status.approval` and nothing else. */
const fieldManager = 'mcp-keyring-approvals';

/** @throws KubeError, also when the UserKey was replaced by a later one, about which nobody has decided */
export async function writeApproval(
  client: Pick<KubeClient, 'apply'>,
  { apiVersion, kind, spec, metadata }: UserKey,
  approval: UserKeyApproval,
): Promise<void> {
  const { namespace = '', name, uid } = metadata;
  const identity = { namespace, name, ...(uid === undefined ? {} : { uid }) };
  const written = { apiVersion, kind, spec, metadata: identity, status: { approval } };
  await client.apply(userKeys, written, { fieldManager, subresource: 'status' });
}
