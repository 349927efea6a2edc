import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { RequestKey } from '#operator/kube/request-key.ts';
import type { Sources } from '../sources.ts';

/** What a UserKeyPolicy is decided from. */
export interface ObservedPolicy {
  readonly object: UserKeyPolicy;
  /** All McpServers of the namespace. */
  readonly servers: readonly McpServer[];
}

/** Reads caches only. */
export function observePolicy(sources: Sources, { namespace = '', name }: RequestKey): ObservedPolicy | undefined {
  const object = sources.userKeyPolicies.store.get(namespace, name);
  return object === undefined ? undefined : { object, servers: sources.mcpServers.store.listNamespace(namespace) };
}
