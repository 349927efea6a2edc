import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { bind, policiesOf } from '#operator/policy/bound-policies.ts';
import { policyUserOf } from '#operator/policy/effective-policy.ts';
import { type ValidationRules, validationRules } from '#operator/policy/validation-rules.ts';

import type { Prober } from './prober.ts';

/** How keys are probed, and where those probes go. */
export interface ProbeTerms {
  readonly rules: ValidationRules;
  readonly upstreams: readonly string[];
}

/** A server at which the keys of some users are probed. */
export interface ProbedServer {
  readonly server: McpServer;
  termsOf(userKey: UserKey): ProbeTerms;
}

/** Undefined: nobody's keys are probed there. Users with the same policies share their terms, which are found once. */
export function probedServer(
  server: McpServer,
  policies: readonly UserKeyPolicy[],
  prober: Pick<Prober, 'upstreamsOf'>,
): ProbedServer | undefined {
  const all = policiesOf(server, policies);
  if (validationRules({ policies: all }).probes.length === 0) return undefined;
  const terms = termsByPolicies(server, prober);
  if (all.every(({ spec }) => spec.subjects === undefined)) {
    const same = terms(all);
    return { server, termsOf: () => same };
  }
  return {
    server,
    termsOf: (userKey) => terms(bind(server, all, { kind: 'user', user: policyUserOf(userKey) }).policies),
  };
}

function termsByPolicies(
  server: McpServer,
  prober: Pick<Prober, 'upstreamsOf'>,
): (policies: readonly UserKeyPolicy[]) => ProbeTerms {
  const known = new Map<string, ProbeTerms>();
  return (policies) => {
    const key = policies.map(({ metadata }) => metadata.name).join('/');
    const found = known.get(key);
    if (found !== undefined) return found;
    const rules = validationRules({ policies });
    const made = { rules, upstreams: prober.upstreamsOf(server, rules.probes) };
    known.set(key, made);
    return made;
  };
}
