import { withDetected } from '#operator/key-state/detected-end.ts';
import { type KeyAge, keyAge } from '#operator/key-state/key-age.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import { isRejected, versionOnRecord } from '#operator/keystore/version.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import { effectivePolicy, policyUserOf } from '#operator/policy/effective-policy.ts';
import type { ExpiryRules } from '#operator/policy/expiry-rules.ts';
import { type ProbeStanding, probeStanding } from '#operator/validation/standing.ts';

import type { ObservedUserKey } from './observe.ts';

/** What can be said about the key of one user. */
export type UserKeyFinding =
  | { readonly kind: 'configured'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** Its user is to set a new one before long. */
  | { readonly kind: 'expiring'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** Older than a policy lets it get. */
  | { readonly kind: 'expired'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** The same, where policies only warn. */
  | { readonly kind: 'expiredInUse'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** No probe has shown yet that it works, or one has shown that it does not, which is to be confirmed. */
  | { readonly kind: 'unverified'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** Its upstream knows it, and it lacks rights. */
  | { readonly kind: 'lacking'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  /** Probes show that it does not work. */
  | { readonly kind: 'failing'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  | {
      readonly kind: 'headersMissing';
      readonly stored: StoredKey;
      readonly headers: readonly EffectiveHeader[];
      readonly missing: readonly string[];
    }
  /** The upstream has refused it with 401. */
  | { readonly kind: 'rejected'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  | { readonly kind: 'keyMissing'; readonly headers: readonly EffectiveHeader[] }
  /** A sealed key, and no version on record: it is being set right now, or it is from before this UserKey. */
  | { readonly kind: 'notOnRecord'; readonly headers: readonly EffectiveHeader[] }
  | { readonly kind: 'rolledBack'; readonly stored: StoredKey; readonly headers: readonly EffectiveHeader[] }
  | { readonly kind: 'serverNotFound' }
  | { readonly kind: 'noOrganization' }
  | { readonly kind: 'conflict'; readonly organizations: readonly string[] }
  | { readonly kind: 'nameMismatch'; readonly expectedName: string };

/** What is true of the key, the worst first. */
export function findingOf(observed: ObservedUserKey, age: KeyAge): UserKeyFinding {
  const { object, expectedName, tenancy, server, policies, stored } = observed;
  if (object.metadata.name !== expectedName) return { kind: 'nameMismatch', expectedName };
  if (tenancy.kind === 'none') return { kind: 'noOrganization' };
  if (tenancy.kind === 'conflict') return { kind: 'conflict', organizations: tenancy.organizations };
  if (server === undefined) return { kind: 'serverNotFound' };
  const { headers, validation } = effectivePolicy(server, policies, policyUserOf(object));
  if (stored === undefined) return { kind: 'keyMissing', headers };
  const onRecord = versionOnRecord(object);
  if (onRecord === undefined) return { kind: 'notOnRecord', headers };
  if (stored.version < onRecord) return { kind: 'rolledBack', stored, headers };
  if (isRejected(object, stored.version)) return { kind: 'rejected', stored, headers };
  if (age.kind === 'expired' && age.isBlocked) return { kind: 'expired', stored, headers };
  const missing = headers.filter((header) => header.required && !has(stored, header)).map(({ name }) => name);
  if (missing.length > 0) return { kind: 'headersMissing', stored, headers, missing };
  const standing = probeStanding(object, stored.version, validation);
  return { kind: kindOf(standing, age), stored, headers };
}

function kindOf(standing: ProbeStanding, age: KeyAge): 'failing' | 'expiredInUse' | 'expiring' | UsableKind {
  if (standing === 'failing') return 'failing';
  if (age.kind === 'expired') return 'expiredInUse';
  if (standing === 'unverified') return 'unverified';
  if (age.kind === 'expiring') return 'expiring';
  return standing === 'lacking' ? 'lacking' : 'configured';
}

type UsableKind = 'unverified' | 'lacking' | 'configured';

/** By what is stored and the policies of now; unbounded where there is nothing to be old. */
export function ageOf(observed: ObservedUserKey, now: Date): KeyAge {
  const { object, server, stored } = observed;
  if (server === undefined || stored === undefined) return { kind: 'unbounded' };
  return keyAge(withDetected(stored, stored.headerNames, object), expiryOf(observed), now.getTime());
}

export function expiryOf({ object, server, policies }: ObservedUserKey): ExpiryRules | undefined {
  return server === undefined ? undefined : effectivePolicy(server, policies, policyUserOf(object)).expiry;
}

/** Whether the stored key has a value for `header`. */
export function has(stored: StoredKey, header: Pick<EffectiveHeader, 'name'>): boolean {
  return stored.headerNames.some((name) => name.toLowerCase() === header.name.toLowerCase());
}
