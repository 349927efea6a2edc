import type { Refusal } from '#cli/contract/responses.ts';

import { accessTokenLimits } from './token-limits.ts';

const secondMs = 1_000;

function refused(message: string): Refusal {
  return { v: 1, outcome: 'refused', code: 'TokenRefused', message };
}

/** Every sentence with which an order about access tokens is refused. */
export const tokenRefusals = {
  notEnabled: refused(
    'This organization has no access tokens. Log in with your MCP client, or ask your administrator (spec.identity.accessTokens).',
  ),
  tooMany: refused(
    `You have ${accessTokenLimits.perUserMax} access tokens in this namespace already. Revoke one: kubectl mcpkeys token list`,
  ),
  tooManyGroups: refused(
    `You are in more than ${accessTokenLimits.groupsMax} groups, more than an access token can carry. Log in with your MCP client instead.`,
  ),
  hashTaken: refused('This token is there already. Create a new one.'),
  tooOld: (maxAgeMs: number): Refusal =>
    refused(`Access tokens of this organization live for at most ${maxAgeMs / secondMs} s. Give a shorter --expires.`),
  serverNotFound: (name: string, namespace: string): Refusal =>
    refused(`There is no McpServer ${name} in namespace ${namespace}. Those that there are: kubectl mcpkeys list`),
} as const;
