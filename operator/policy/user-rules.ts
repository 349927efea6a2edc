import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { type UserRules, userToolRulesBytesMax } from '#contract/lease.ts';
import { limitRules } from '#operator/limits/limit-rules.ts';

import { bind, type PolicyUser } from './bound-policies.ts';
import { toolRules } from './tool-rules.ts';

/** Pure. What proxies are told of a user, beside what they know of the server; undefined where nothing is for them alone. */
export function userRules(
  server: McpServer,
  policies: readonly UserKeyPolicy[],
  user: PolicyUser,
): UserRules | undefined {
  const bound = bind(server, policies, { kind: 'onlyUser', user });
  const tools = toolRules(bound, userToolRulesBytesMax);
  const limits = limitRules(bound);
  if (tools.length === 0 && limits === undefined) return undefined;
  return { ...(tools.length === 0 ? {} : { tools }), ...(limits === undefined ? {} : { limits }) };
}
