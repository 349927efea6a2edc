import { requestKeyOf } from '#operator/kube/request-key.ts';

import type { Enqueue, Sources } from '../sources.ts';

/** A policy is looked at again when it changes, and when a server of its namespace does, or certificates that a probe trusts. */
export function watchPolicies(sources: Sources, enqueue: Enqueue): void {
  sources.userKeyPolicies.onChange(({ object }) => enqueue(requestKeyOf(object)));
  const enqueueNamespace = (namespace = ''): void => {
    for (const policy of sources.userKeyPolicies.store.listNamespace(namespace)) enqueue(requestKeyOf(policy));
  };
  sources.mcpServers.onChange(({ object }) => enqueueNamespace(object.metadata.namespace));
  sources.caBundles.onChange(({ object }) => enqueueNamespace(object.metadata.namespace));
}
