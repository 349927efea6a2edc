import type { UserKey, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';

/**
 * Writes the part of a UserKey's status that `fieldManager` owns, and leaves the others' alone.
 * @throws KubeError, also when the UserKey was replaced by a later one, about which nothing of this is known
 */
export async function writeKeyStatus(
  client: Pick<KubeClient, 'apply'>,
  { apiVersion, kind, spec, metadata }: UserKey,
  { fieldManager, status }: { readonly fieldManager: string; readonly status: UserKeyStatus },
): Promise<void> {
  const { namespace = '', name, uid } = metadata;
  // The uid makes the API server refuse when the UserKey was replaced.
  const identity = { namespace, name, ...(uid === undefined ? {} : { uid }) };
  const written = { apiVersion, kind, spec, metadata: identity, status };
  await client.apply(userKeys, written, { fieldManager, subresource: 'status' });
}
