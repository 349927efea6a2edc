import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { RequestKey } from '#operator/kube/request-key.ts';
import { probeTarget } from '#operator/validation/probe-target.ts';
import type { ProbeProblem, ProbeProblems } from '#operator/validation/probe-problems.ts';
import { isFor } from '#operator/policy/bound-policies.ts';

import type { Sources } from '../sources.ts';

/** What a UserKeyPolicy is decided from. */
export interface ObservedPolicy {
  readonly object: UserKeyPolicy;
  /** All McpServers of the namespace. */
  readonly servers: readonly McpServer[];
  /** All UserKeyPolicies of the namespace. */
  readonly policies: readonly UserKeyPolicy[];
  /** Where its probe cannot work, as its target shows, or as was found out when keys were tried. */
  readonly probeProblems: readonly ProbeProblem[];
}

export interface PolicyObserver {
  readonly sources: Sources;
  readonly problems: Pick<ProbeProblems, 'of'>;
  readonly clusterDomain: string;
}

/** Reads caches only. */
export function observePolicy(from: PolicyObserver, key: RequestKey): ObservedPolicy | undefined {
  const { namespace = '', name } = key;
  const { userKeyPolicies, mcpServers } = from.sources;
  const object = userKeyPolicies.store.get(namespace, name);
  if (object === undefined) return undefined;
  const servers = mcpServers.store.listNamespace(namespace);
  const policies = userKeyPolicies.store.listNamespace(namespace);
  return { object, servers, policies, probeProblems: probeProblemsOf(from, object, servers) };
}

function probeProblemsOf(
  from: PolicyObserver,
  policy: UserKeyPolicy,
  servers: readonly McpServer[],
): readonly ProbeProblem[] {
  const probe = policy.spec.validation?.probe;
  if (probe === undefined) return [];
  const bound = servers.filter((server) => isFor(policy, server));
  const upstreams = { caBundles: from.sources.caBundles.store, clusterDomain: from.clusterDomain };
  const impossible = bound.flatMap((server) => {
    const target = probeTarget(server, probe, upstreams);
    return target.kind === 'impossible' ? [{ server: server.metadata.name, reason: target.reason }] : [];
  });
  const { namespace = '', name } = policy.metadata;
  const found = from.problems
    .of({ namespace, name }, probe, bound)
    .filter(({ server }) => !impossible.some((one) => one.server === server));
  return [...impossible, ...found];
}
