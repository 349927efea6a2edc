import { requestKeyOf } from '#operator/kube/request-key.ts';

import type { Enqueue, Sources } from '../sources.ts';

/** A policy is looked at again when it changes, and when a server of its namespace does. */
export function watchPolicies(sources: Sources, enqueue: Enqueue): void {
  sources.userKeyPolicies.onChange(({ object }) => enqueue(requestKeyOf(object)));
  sources.mcpServers.onChange(({ object }) => {
    const { namespace = '' } = object.metadata;
    for (const policy of sources.userKeyPolicies.store.listNamespace(namespace)) enqueue(requestKeyOf(policy));
  });
}
