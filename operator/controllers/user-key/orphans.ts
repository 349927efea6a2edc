import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { Secret } from '#operator/kube/resources.ts';
import { isCanary, ownerOf } from '#operator/keystore/sealed-secret.ts';

export interface OrphanSources {
  readonly sealedSecrets: Pick<Store<Secret>, 'list'>;
  readonly userKeys: Pick<Store<UserKey>, 'get'>;
}

/**
 * Sealed keys without a UserKey. The broker hands none of them out, so they harm nobody; they are counted, and that is all. The
 * UserKey is not made again: somebody took it away, and with it the right to use the key. Nor is the key destroyed: whoever
 * restores UserKeys with their versions from a backup gets their users' keys back, and setting a key anew replaces it.
 */
export function orphansIn({ sealedSecrets, userKeys }: OrphanSources): readonly KubeObject[] {
  return sealedSecrets.list().filter((secret) => {
    if (isCanary(secret)) return false;
    const owner = ownerOf(secret);
    if (owner === undefined) return true;
    return userKeys.get(owner.server.namespace, `${owner.server.name}-${owner.subjectKey}`) === undefined;
  });
}
