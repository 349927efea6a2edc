import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { KeyStore, StoredKey } from '#operator/keystore/key-store.ts';
import type { Tenancy, TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { RequestKey } from '#operator/kube/request-key.ts';
import type { Sources } from '../sources.ts';

/** What a UserKey is decided from. */
export interface ObservedUserKey {
  readonly object: UserKey;
  /** The name that its server and subject give. Any other name was not made by us. */
  readonly expectedName: string;
  readonly tenancy: Tenancy;
  readonly server: McpServer | undefined;
  readonly policies: readonly UserKeyPolicy[];
  /** What is stored for it; absent too when organization or server are not there to look it up by. */
  readonly stored: StoredKey | undefined;
}

export interface UserKeyObserver {
  readonly sources: Pick<Sources, 'userKeys' | 'mcpServers' | 'userKeyPolicies'>;
  readonly keyStore: Pick<KeyStore, 'find' | 'userKeyNameOf'>;
  readonly tenancy: TenancyIndex;
}

/** Reads caches only. */
export function observeUserKey(from: UserKeyObserver, key: RequestKey): ObservedUserKey | undefined {
  const { namespace = '', name } = key;
  const object = from.sources.userKeys.store.get(namespace, name);
  if (object === undefined) return undefined;
  const { serverRef, subject } = object.spec;
  const server = from.sources.mcpServers.store.get(namespace, serverRef.name);
  const tenancy = from.tenancy.organizationOf(namespace);
  const address = { server: { namespace, name: serverRef.name }, subject };
  return {
    object,
    expectedName: from.keyStore.userKeyNameOf(address),
    tenancy,
    server,
    policies: from.sources.userKeyPolicies.store.listNamespace(namespace),
    stored:
      tenancy.kind === 'organization' && server !== undefined
        ? from.keyStore.find({ ...address, organization: tenancy.name, serverUid: server.metadata.uid ?? '' })
        : undefined,
  };
}
