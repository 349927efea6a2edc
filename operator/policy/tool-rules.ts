import type { ToolRules } from '#contract/watch.ts';
import { toolRulesBytesMax, toolRulesMax } from '#contract/watch.ts';

import type { Bound } from './bound-policies.ts';

/**
 * Pure. What policies say about the tools of a server, in as few rules as say the same: one of everything that any of them denies,
 * and one for each list of what may be called. Empty: every tool may be called. More than a snapshot or a lease can hold lets nobody call
 * anything, as leaving a part out would let too much.
 */
export function toolRules(
  { policies }: Pick<Bound, 'policies'>,
  bytesMax: number = toolRulesBytesMax,
): readonly ToolRules[] {
  const tools = policies.flatMap(({ spec }) => spec.tools ?? []);
  const deny = new Set(tools.flatMap((rules) => rules.deny ?? []));
  const allows = tools.flatMap(({ allow }) => (allow === undefined ? [] : [{ allow }]));
  const rules = [...(deny.size === 0 ? [] : [{ deny: [...deny] }]), ...allows];
  return fits(rules, bytesMax) ? rules : [{ allow: [] }];
}

function fits(rules: readonly ToolRules[], bytesMax: number): boolean {
  return rules.length <= toolRulesMax && Buffer.byteLength(JSON.stringify(rules)) <= bytesMax;
}
