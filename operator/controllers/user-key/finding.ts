import { type KeyFinding, keyFinding } from '#operator/key-state/key-finding.ts';
import { effectivePolicy, type EffectivePolicy, policyUserOf } from '#operator/policy/effective-policy.ts';

import type { ObservedUserKey } from './observe.ts';

/** What can be said about the key of one user. */
export type UserKeyFinding =
  | { readonly kind: 'key'; readonly key: KeyFinding; readonly policy: EffectivePolicy }
  | { readonly kind: 'serverNotFound' }
  | { readonly kind: 'noOrganization' }
  | { readonly kind: 'conflict'; readonly organizations: readonly string[] }
  | { readonly kind: 'nameMismatch'; readonly expectedName: string };

/** Pure. Of the key only once everything around it is in order. */
export function findingOf(observed: ObservedUserKey, now: Date): UserKeyFinding {
  const { object, expectedName, tenancy, server, policies, stored } = observed;
  if (object.metadata.name !== expectedName) return { kind: 'nameMismatch', expectedName };
  if (tenancy.kind === 'none') return { kind: 'noOrganization' };
  if (tenancy.kind === 'conflict') return { kind: 'conflict', organizations: tenancy.organizations };
  if (server === undefined) return { kind: 'serverNotFound' };
  const policy = effectivePolicy(server, policies, policyUserOf(object));
  return { kind: 'key', key: keyFinding({ userKey: object, stored, policy, nowMs: now.getTime() }), policy };
}
