import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy, UserKeyPolicyStatus } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { isFor, sameHeader } from '#operator/policy/effective-headers.ts';

import type { Decision } from '../decision.ts';
import type { ObservedPolicy } from './observe.ts';
import { policyStatus } from './status.ts';

/** How a policy fares. Only `bound` is what its author wanted; the others are in force as far as they go. */
export type PolicyFinding =
  | { readonly kind: 'bound' }
  | { readonly kind: 'noServers' }
  | { readonly kind: 'serversNotFound'; readonly names: readonly string[] }
  | { readonly kind: 'headersNotDeclared'; readonly names: readonly string[] };

/** A policy writes nothing but its status: it takes effect where it is read (`operator/policy`). */
export function decidePolicy(observed: ObservedPolicy, now: Date): Decision<UserKeyPolicyStatus> {
  const { object, servers } = observed;
  if (object.metadata.deletionTimestamp !== undefined) return { steps: [] };
  const bound = servers.filter((server) => isFor(object, server));
  return { steps: [], status: policyStatus(object, { finding: find(object, servers, bound), bound, now }) };
}

function find(policy: UserKeyPolicy, servers: readonly McpServer[], bound: readonly McpServer[]): PolicyFinding {
  const absent = (policy.spec.servers.names ?? []).filter((name) => !servers.some((s) => s.metadata.name === name));
  if (absent.length > 0) return { kind: 'serversNotFound', names: absent };
  if (bound.length === 0) return { kind: 'noServers' };
  const undeclared = headersOf(policy).filter((name) => !bound.some((server) => declares(server, name)));
  return undeclared.length > 0 ? { kind: 'headersNotDeclared', names: undeclared } : { kind: 'bound' };
}

function headersOf(policy: UserKeyPolicy): readonly string[] {
  return [...(policy.spec.keys?.required ?? []), ...(policy.spec.keys?.optional ?? [])];
}

function declares(server: McpServer, name: string): boolean {
  return server.spec.authentication.headers.some((header) => sameHeader(header.name, name));
}
