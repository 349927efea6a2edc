import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy, UserKeyPolicyStatus } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { isTimeZone } from '#operator/limits/calendar-day.ts';
import { bind, isFor } from '#operator/policy/bound-policies.ts';
import { sameHeader } from '#operator/policy/effective-headers.ts';
import type { ProbeProblem } from '#operator/validation/probe-problems.ts';
import { validationRules } from '#operator/policy/validation-rules.ts';

import type { Decision } from '../decision.ts';
import type { ObservedPolicy } from './observe.ts';
import { policyStatus } from './status.ts';

/** How a policy fares. Only `bound` is what its author wanted; the others are in force as far as they go. */
export type PolicyFinding =
  | { readonly kind: 'bound' }
  | { readonly kind: 'noServers' }
  | { readonly kind: 'serversNotFound'; readonly names: readonly string[] }
  | { readonly kind: 'headersNotDeclared'; readonly names: readonly string[] }
  /** It says when keys are tried, and no policy says how. */
  | { readonly kind: 'probeMissing'; readonly servers: readonly string[] }
  /** Keys cannot be tried as it says, at some servers. */
  | { readonly kind: 'timeZoneUnknown'; readonly timeZone: string }
  | { readonly kind: 'probeImpossible'; readonly problems: readonly ProbeProblem[] };

/** A policy writes nothing but its status: it takes effect where it is read (`operator/policy`). */
export function decidePolicy(observed: ObservedPolicy, now: Date): Decision<UserKeyPolicyStatus> {
  const { object, servers } = observed;
  if (object.metadata.deletionTimestamp !== undefined) return { steps: [] };
  const bound = servers.filter((server) => isFor(object, server));
  return { steps: [], status: policyStatus(object, { finding: find(observed, bound), bound, now }) };
}

function find(observed: ObservedPolicy, bound: readonly McpServer[]): PolicyFinding {
  const { object: policy, servers } = observed;
  const absent = (policy.spec.servers.names ?? []).filter((name) => !servers.some((s) => s.metadata.name === name));
  if (absent.length > 0) return { kind: 'serversNotFound', names: absent };
  if (bound.length === 0) return { kind: 'noServers' };
  const { timeZone } = policy.spec.limits ?? {};
  if (timeZone !== undefined && !isTimeZone(timeZone)) return { kind: 'timeZoneUnknown', timeZone };
  const undeclared = headersOf(policy).filter((name) => !bound.some((server) => declares(server, name)));
  return undeclared.length > 0 ? { kind: 'headersNotDeclared', names: undeclared } : findProbe(observed, bound);
}

function findProbe({ object, policies, probeProblems }: ObservedPolicy, bound: readonly McpServer[]): PolicyFinding {
  const { validation } = object.spec;
  if (probeProblems.length > 0) return { kind: 'probeImpossible', problems: probeProblems };
  const asks =
    validation !== undefined && (validation.schedule !== undefined || (validation.onSave ?? 'Off') !== 'Off');
  const without = asks
    ? bound.filter((server) => validationRules(bind(server, policies, { kind: 'someUser' })).probes.length === 0)
    : [];
  return without.length > 0
    ? { kind: 'probeMissing', servers: without.map(({ metadata }) => metadata.name) }
    : { kind: 'bound' };
}

function headersOf(policy: UserKeyPolicy): readonly string[] {
  return [...(policy.spec.keys?.required ?? []), ...(policy.spec.keys?.optional ?? [])];
}

function declares(server: McpServer, name: string): boolean {
  return server.spec.authentication.headers.some((header) => sameHeader(header.name, name));
}
