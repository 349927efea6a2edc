import { requestKeyOf } from '#operator/kube/request-key.ts';

import type { Enqueue, Sources } from '../sources.ts';

/** Changes of many namespaces or servers at once cost one reconcile. */
const coalesceMs = 500;

/**
 * An Organization is looked at again when it or another one changes (conflicts), and when namespaces, servers, CA bundles or what
 * it published do. There are few of them, so all are.
 */
export function watchOrganizations(sources: Sources, enqueue: Enqueue): void {
  const enqueueAll = (): void => {
    for (const organization of sources.organizations.store.list()) enqueue(requestKeyOf(organization), coalesceMs);
  };
  sources.organizations.onChange((change) => {
    enqueue(requestKeyOf(change.object));
    if (change.kind !== 'updated' || change.object.metadata.generation !== change.previous.metadata.generation) {
      enqueueAll();
    }
  });
  sources.namespaces.onChange(enqueueAll);
  sources.mcpServers.onChange((change) => {
    if (change.kind !== 'updated') enqueueAll();
  });
  sources.agentPods.onChange((change) => {
    if (change.kind !== 'updated') enqueueAll();
  });
  sources.caConfigMaps.onChange(enqueueAll);
  sources.adminBindings.onChange(enqueueAll);
  sources.operatorConfigMaps.onChange(enqueueAll);
}
