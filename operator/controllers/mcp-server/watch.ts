import { gatewayName, labels } from '#crds/v1alpha1/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import { requestKeyOf } from '#operator/kube/request-key.ts';

import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';

import type { Enqueue, Sources } from '../sources.ts';
import type { KeyCounts } from './key-counts.ts';
import { serviceNameLabel } from './ready-pods.ts';

/** Changes of many UserKeys or pods at once cost one reconcile. */
const coalesceMs = 1_000;

export interface ServerWatches {
  readonly sources: Sources;
  readonly keyCounts: KeyCounts;
  readonly referencedSecrets: Pick<ReferencedSecrets, 'onChange'>;
  readonly enqueue: Enqueue;
}

/** A server is looked at again when it, what it owns, its users' keys, its pods, a policy or its organization changes. */
export function watchServers({ sources, keyCounts, referencedSecrets, enqueue }: ServerWatches): void {
  const enqueueNamespace = (namespace: string | undefined): void => {
    for (const server of sources.mcpServers.store.listNamespace(namespace ?? '')) enqueue(requestKeyOf(server));
  };
  const enqueueAll = (): void => {
    for (const server of sources.mcpServers.store.list()) enqueue(requestKeyOf(server), coalesceMs);
  };
  sources.mcpServers.onChange(({ object }) => enqueue(requestKeyOf(object)));
  sources.userKeys.onChange((change) => {
    for (const server of keyCounts.take(change)) enqueue(server, coalesceMs);
  });
  referencedSecrets.onChange((server) => enqueue(server));
  sources.userKeyPolicies.onChange(({ object }) => enqueueNamespace(object.metadata.namespace));
  sources.namespaces.onChange(({ object }) => enqueueNamespace(object.metadata.name));
  sources.organizations.onChange(enqueueAll);
  sources.operatorConfigMaps.onChange(enqueueAll);
  sources.caBundles.onChange(({ object }) => enqueueNamespace(object.metadata.namespace));
  sources.endpointSlices.onChange(({ object }) => {
    if (object.metadata.labels?.[serviceNameLabel] === gatewayName) enqueueAll();
  });
  sources.pods.onChange(({ object }) => enqueueServerOf(object, enqueue, coalesceMs));
  for (const owned of [sources.services, sources.networkPolicies, sources.deployments, sources.endpointSlices]) {
    owned.onChange(({ object }: { readonly object: KubeObject }) => enqueueServerOf(object, enqueue));
  }
}

/** By label: an object whose owner reference was taken away is found all the same. */
function enqueueServerOf({ metadata }: KubeObject, enqueue: Enqueue, afterMs?: number): void {
  const name = metadata.labels?.[labels.server];
  const { namespace } = metadata;
  if (name === undefined || namespace === undefined) return;
  enqueue({ namespace, name }, afterMs);
}
