import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { group, version } from '#crds/v1alpha1/names.ts';

import type { ResourceType } from './resource.ts';

const keyring = { group, version } as const;

export const organizations: ResourceType<Organization> = {
  ...keyring,
  plural: 'organizations',
  kind: 'Organization',
  namespaced: false,
};
export const accessTokens: ResourceType<AccessToken> = {
  ...keyring,
  plural: 'accesstokens',
  kind: 'AccessToken',
  namespaced: true,
};
export const mcpServers: ResourceType<McpServer> = {
  ...keyring,
  plural: 'mcpservers',
  kind: 'McpServer',
  namespaced: true,
};
export const userKeyPolicies: ResourceType<UserKeyPolicy> = {
  ...keyring,
  plural: 'userkeypolicies',
  kind: 'UserKeyPolicy',
  namespaced: true,
};
export const userKeys: ResourceType<UserKey> = { ...keyring, plural: 'userkeys', kind: 'UserKey', namespaced: true };
export const userKeyRequests: ResourceType<UserKeyRequest> = {
  ...keyring,
  plural: 'userkeyrequests',
  kind: 'UserKeyRequest',
  namespaced: true,
};
