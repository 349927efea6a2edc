import type { UserKey, UserKeyHeader, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { expiresAtOf, type KeyAge, keyAge } from '#operator/key-state/key-age.ts';
import { headerAge, knownEnds } from '#operator/key-state/header-age.ts';
import { hasHeader, type KeyFinding } from '#operator/key-state/key-finding.ts';
import { headerWordOf, type KeyState, keyStates } from '#operator/key-state/key-states.ts';
import { headerUsedAt } from '#operator/key-state/use-recorder.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import type { EffectiveHeader } from '#operator/policy/effective-headers.ts';
import type { EffectivePolicy } from '#operator/policy/effective-policy.ts';

import { stampConditions } from '../conditions.ts';
import type { UserKeyFinding } from './finding.ts';
import { keyCondition } from './key-conditions.ts';
import { surroundingConditions } from './surrounding-conditions.ts';

export interface UserKeyOutcome {
  readonly finding: UserKeyFinding;
  readonly now: Date;
}

/**
 * All but `version`, which makes a rolled-back Secret worthless: only who has sealed a version puts it on record; and but `rejected`,
 * `revoked` and the other registers, which are written by whoever finds them out.
 */
export function userKeyStatus(userKey: UserKey, { finding, now }: UserKeyOutcome): UserKeyStatus {
  const { generation } = userKey.metadata;
  const stamp = { previous: userKey.status?.conditions, generation, now };
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  if (finding.kind !== 'key') {
    const conditions = stampConditions(surroundingConditions(userKey, finding), stamp);
    return { ...observed, state: 'Missing', conditions };
  }
  const { key, policy } = finding;
  const age = ageOf(key, policy, now);
  const expiresAt = expiresAtOf(age);
  return {
    ...observed,
    state: keyStates[key.kind].state,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    headers: policy.headers.map((header) => headerStatus(header, finding, { now, usedAt: userKey.status?.usedAt })),
    conditions: stampConditions([keyCondition(userKey, key, age)], stamp),
  };
}

function ageOf(key: KeyFinding, { expiry }: EffectivePolicy, now: Date): KeyAge {
  const stored = storedIn(key);
  return stored === undefined ? { kind: 'unbounded' } : keyAge(stored, expiry, now.getTime());
}

function storedIn(key: KeyFinding): StoredKey | undefined {
  return 'stored' in key ? key.stored : undefined;
}

function headerStatus(
  header: EffectiveHeader,
  { key, policy }: Extract<UserKeyFinding, { kind: 'key' }>,
  { now, usedAt }: { readonly now: Date; readonly usedAt: string | undefined },
): UserKeyHeader {
  const { name } = header;
  const stored = storedIn(key);
  if (stored === undefined || !hasHeader(stored, header)) return { name, ...unset(header, key) };
  const word = headerWordOf(key.kind);
  if (key.kind === 'rolledBack' && word !== undefined) return { name, ...word };
  const age = headerAge(stored, name, { expiry: policy.expiry, now });
  const expiresAt = expiresAtOf(age);
  return {
    name,
    version: stored.version,
    setAt: stored.setAt,
    ...(word ?? agedState(age)),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...knownEnds(stored, name),
    ...headerUsedAt(usedAt, stored.setAt),
  };
}

/** A header that was asked for only after its user had set a key is their next step; otherwise the whole key is. */
function unset(
  { required }: EffectiveHeader,
  { kind }: KeyFinding,
): { readonly state: KeyState; readonly reason: string } {
  if (!required) return { state: 'Missing', reason: 'OptionalNotSet' };
  if (kind === 'incomplete') return { state: 'NeedsUpdate', reason: 'NotSet' };
  return { state: 'Missing', reason: 'NotSet' };
}

/** What ends another header of the key says nothing of this one. */
function agedState(age: KeyAge): { readonly state: KeyState; readonly reason?: string } {
  switch (age.kind) {
    case 'unbounded':
    case 'fresh':
      return { state: 'Configured' };
    case 'expiring':
      return { state: 'Expiring', reason: age.reason };
    case 'expired':
      return { state: 'Expired', reason: age.reason };
  }
}
