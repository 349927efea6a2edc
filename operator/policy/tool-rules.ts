import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { ToolRules } from '#contract/watch.ts';
import { toolRulesBytesMax, toolRulesMax } from '#contract/watch.ts';

import { policiesOf } from './effective-headers.ts';

/**
 * What the policies that are for `server` say about its tools, in as few rules as say the same: one of everything that any of them
 * denies, and one for each list of what may be called. Empty: every tool may be called. Policies of other namespaces or for other
 * servers are left out here. More than a snapshot can hold lets nobody call anything, as leaving a part out would let too much.
 */
export function toolRules(server: McpServer, policies: readonly UserKeyPolicy[]): readonly ToolRules[] {
  const tools = policiesOf(server, policies).flatMap(({ spec }) => spec.tools ?? []);
  const deny = new Set(tools.flatMap((rules) => rules.deny ?? []));
  const allows = tools.flatMap(({ allow }) => (allow === undefined ? [] : [{ allow }]));
  const rules = [...(deny.size === 0 ? [] : [{ deny: [...deny] }]), ...allows];
  return fits(rules) ? rules : [{ allow: [] }];
}

function fits(rules: readonly ToolRules[]): boolean {
  return rules.length <= toolRulesMax && Buffer.byteLength(JSON.stringify(rules)) <= toolRulesBytesMax;
}
