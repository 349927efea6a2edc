import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import { isRevoked } from '#operator/keystore/revoked.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';
import { type EffectiveHeader, sameHeader } from '#operator/policy/effective-headers.ts';
import type { EffectivePolicy } from '#operator/policy/effective-policy.ts';

import { isApproved } from './approval.ts';
import { withDetected } from './detected-end.ts';
import { type KeyStanding, keyStanding } from './key-standing.ts';
import { keyStates } from './key-states.ts';

/** What is true of the key of one user at one server. `keyStates` says what each means. */
export type KeyFinding =
  | { readonly kind: 'missing' | 'notOnRecord' }
  | { readonly kind: 'revoked' | 'pendingApproval'; readonly stored?: StoredKey }
  /** `stored` with what its upstream has told of its end. */
  | { readonly kind: 'rolledBack'; readonly stored: StoredKey }
  | { readonly kind: 'incomplete'; readonly stored: StoredKey; readonly missing: readonly string[] }
  | { readonly kind: Exclude<KeyStanding, 'revoked' | 'pendingApproval'>; readonly stored: StoredKey };

export interface KeyFacts {
  /** Undefined: nobody has set a key yet. */
  readonly userKey: Pick<UserKey, 'status'> | undefined;
  /** What lies in the key namespace, whether it may be used or not. */
  readonly stored: StoredKey | undefined;
  readonly policy: EffectivePolicy;
  readonly nowMs: number;
}

/** Pure. The worst first: what keeps a key from being used, whatever it holds; then what it lacks; then what is to be said of it. */
export function keyFinding({ userKey = {}, stored: sealed, policy, nowMs }: KeyFacts): KeyFinding {
  const stored = sealed === undefined ? undefined : { ...sealed, ...withDetected(sealed, sealed.headerNames, userKey) };
  const onRecord = versionOnRecord(userKey);
  const present = stored === undefined ? {} : { stored };
  // A record that was taken back as a whole has no version any more.
  if (isRevoked(userKey, onRecord ?? Infinity)) return { kind: 'revoked', ...present };
  if (!isApproved(userKey, policy.approval, nowMs)) return { kind: 'pendingApproval', ...present };
  if (stored === undefined) return { kind: 'missing' };
  if (onRecord === undefined) return { kind: 'notOnRecord' };
  if (stored.version < onRecord) return { kind: 'rolledBack', stored };
  const kind = keyStanding({ userKey, policy, key: stored, nowMs });
  if (keyStates[kind].lease !== 'granted') return { kind, stored };
  const missing = missingHeaders(policy.headers, stored);
  return missing.length > 0 ? { kind: 'incomplete', stored, missing } : { kind, stored };
}

/** Required headers without a value. */
export function missingHeaders(headers: readonly EffectiveHeader[], stored: StoredKey | undefined): readonly string[] {
  return headers.filter((header) => header.required && !hasHeader(stored, header)).map(({ name }) => name);
}

export function hasHeader(stored: StoredKey | undefined, { name }: Pick<EffectiveHeader, 'name'>): boolean {
  return stored?.headerNames.some((other) => sameHeader(other, name)) ?? false;
}
