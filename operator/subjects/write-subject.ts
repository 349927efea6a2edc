import type { UserKey, UserKeyStatusSubject } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';

/** Owns `status.subject` of UserKeys, beside intake. */
const fieldManager = 'mcp-keyring-subjects';

/** @throws KubeError, also when the UserKey was replaced by a later one */
export async function writeSubject(
  client: Pick<KubeClient, 'apply'>,
  { apiVersion, kind, spec, metadata }: UserKey,
  subject: UserKeyStatusSubject,
): Promise<void> {
  const { namespace = '', name, uid } = metadata;
  const identity = { namespace, name, ...(uid === undefined ? {} : { uid }) };
  const seen = { apiVersion, kind, spec, metadata: identity, status: { subject } };
  await client.apply(userKeys, seen, { fieldManager, subresource: 'status' });
}
