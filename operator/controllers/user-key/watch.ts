import type { KeyStore } from '#operator/keystore/key-store.ts';

import { requestKeyOf } from '#operator/kube/request-key.ts';
import { specChanged } from '#operator/kube/spec-changed.ts';

import type { Enqueue, Sources } from '../sources.ts';

export interface UserKeyWatches {
  readonly sources: Pick<Sources, 'userKeys' | 'mcpServers' | 'userKeyPolicies' | 'organizations' | 'namespaces'>;
  readonly keyStore: Pick<KeyStore, 'onChange'>;
  readonly enqueue: Enqueue;
}

/** A UserKey is looked at again when it, its sealed key, its server, a policy there or its organization changes. */
export function watchUserKeys({ sources, keyStore, enqueue }: UserKeyWatches): void {
  const enqueueNamespace = (namespace: string | undefined): void => {
    for (const userKey of sources.userKeys.store.listNamespace(namespace ?? '')) enqueue(requestKeyOf(userKey));
  };
  sources.userKeys.onChange(({ object }) => enqueue(requestKeyOf(object)));
  keyStore.onChange(({ server, subjectKey }) =>
    enqueue({ namespace: server.namespace, name: `${server.name}-${subjectKey}` }),
  );
  sources.mcpServers.onChange((change) => {
    if (change.kind === 'updated' && !specChanged(change)) return;
    const { namespace, name } = change.object.metadata;
    for (const userKey of sources.userKeys.store.listNamespace(namespace ?? '')) {
      if (userKey.spec.serverRef.name === name) enqueue(requestKeyOf(userKey));
    }
  });
  sources.userKeyPolicies.onChange((change) => {
    if (change.kind === 'updated' && !specChanged(change)) return;
    enqueueNamespace(change.object.metadata.namespace);
  });
  sources.namespaces.onChange(({ object }) => enqueueNamespace(object.metadata.name));
  sources.organizations.onChange((change) => {
    if (change.kind === 'updated' && !specChanged(change)) return;
    for (const userKey of sources.userKeys.store.list()) enqueue(requestKeyOf(userKey));
  });
}
