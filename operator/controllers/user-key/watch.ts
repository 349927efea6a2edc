import type { KeyStore } from '#operator/keystore/key-store.ts';

import { requestKeyOf } from '#operator/kube/request-key.ts';

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

interface Versioned {
  readonly metadata: { readonly generation?: number; readonly uid?: string; readonly labels?: object };
}

/** Status writes do not count. Labels do: policies select servers by them. */
function specChanged({ object, previous }: { readonly object: Versioned; readonly previous: Versioned }): boolean {
  const [now, before] = [object.metadata, previous.metadata];
  return (
    now.generation !== before.generation ||
    now.uid !== before.uid ||
    JSON.stringify(now.labels) !== JSON.stringify(before.labels)
  );
}
