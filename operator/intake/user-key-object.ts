import { labels, userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';

import type { ObservedServer } from './observe.ts';

export const intakeFieldManager = 'mcp-keyring-intake';

/** The object that shows the key to people and holds its deletion until the sealed key is destroyed. */
export function userKeyFor(
  keyStore: Pick<KeyStore, 'userKeyNameOf' | 'subjectKeyOf'>,
  { server, address }: Pick<ObservedServer, 'server' | 'address'>,
): UserKey {
  const { issuer, id, name } = address.subject;
  const { uid = '' } = server.metadata;
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKey',
    metadata: {
      namespace: address.server.namespace,
      name: keyStore.userKeyNameOf(address),
      labels: {
        [labels.managed]: 'true',
        [labels.server]: address.server.name,
        [labels.user]: keyStore.subjectKeyOf(address.subject),
      },
      finalizers: [userKeyFinalizer],
      ownerReferences: [{ apiVersion: server.apiVersion, kind: server.kind, name: address.server.name, uid }],
    },
    spec: { serverRef: { name: address.server.name }, subject: { issuer, id, name } },
  } as const satisfies UserKey;
}
