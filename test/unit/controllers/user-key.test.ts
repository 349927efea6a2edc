import { describe, expect, test } from 'vitest';

import { userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';
import { decideUserKey } from '#operator/controllers/user-key/decide.ts';
import type { ObservedUserKey } from '#operator/controllers/user-key/observe.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';

import { verifies } from '#test/requirements.ts';

import { brief, header, messageOf, now, policy, server, subject, userKey, userKeyName } from './fixtures.ts';

const setAt = '2026-02-01T00:00:00Z';
const version = Date.parse(setAt);
const stored: StoredKey = { version, headerNames: ['authorization'], setAt };

function observed(change: Partial<ObservedUserKey> = {}): ObservedUserKey {
  return {
    object: userKey({ metadata: { finalizers: [userKeyFinalizer] }, status: { version } }),
    expectedName: userKeyName,
    tenancy: { kind: 'organization', name: 'acme', issuers: [] },
    server: server(),
    policies: [],
    stored,
    ...change,
  };
}

describe('the state of a UserKey', () => {
  const two = server({ headers: [header('Authorization'), header('X-Client-ID')] });
  const optional = server({ headers: [header('Authorization'), header('X-Client-ID', { required: false })] });

  test.each<[string, Partial<ObservedUserKey>, string, string, RegExp]>([
    ['is Configured with every required header', {}, 'Configured', 'Ready=True/Configured', /./],
    ['is Configured without an optional header', { server: optional }, 'Configured', 'Ready=True/Configured', /./],
    [
      'is Configured at a server without headers',
      { server: server({ headers: [] }) },
      'Configured',
      'Ready=True/Configured',
      /./,
    ],
    [
      'names a header that is missing',
      { server: two },
      'NeedsUpdate',
      'Ready=False/HeadersMissing',
      /X-Client-ID.*kubectl mcpkeys set github -n team-a --token-file token\.txt/,
    ],
    [
      'follows a policy that requires more',
      { server: optional, policies: [policy({ keys: { required: ['x-client-id'] } })] },
      'NeedsUpdate',
      'Ready=False/HeadersMissing',
      /X-Client-ID/,
    ],
    [
      'is Missing when the sealed key is gone',
      { stored: undefined },
      'Missing',
      'Ready=False/KeyMissing',
      /kubectl mcpkeys set github/,
    ],
    [
      'is Missing without its server',
      { server: undefined, stored: undefined },
      'Missing',
      'Ready=False/ServerNotFound',
      /McpServer github/,
    ],
    [
      'is Missing without an organization',
      { tenancy: { kind: 'none' } },
      'Missing',
      'Ready=False/NamespaceHasNoOrganization',
      /label/,
    ],
    [
      'is Missing while organizations quarrel',
      { tenancy: { kind: 'conflict', organizations: ['a', 'b'] } },
      'Missing',
      'Ready=False/NamespacesConflict',
      /a, b/,
    ],
  ])('%s', (...[, change, state, conditions, message]) => {
    const { steps, status } = decideUserKey(observed(change), now);
    expect(status?.state).toBe(state);
    expect(brief(status)).toBe(conditions);
    expect(messageOf(status)).toMatch(message);
    expect(steps).toEqual([]);
  });

  test('is Invalid in the version that the upstream refuses, and Configured again in the next', () => {
    const rejectedAt = (rejectedVersion: number) =>
      userKey({
        metadata: { finalizers: [userKeyFinalizer] },
        status: { version, rejected: { version: rejectedVersion, at: '2026-03-01T00:00:00Z' } },
      });
    const { status } = decideUserKey(observed({ object: rejectedAt(version) }), now);
    expect(brief(status)).toBe('Ready=False/KeyRejected');
    expect(messageOf(status)).toMatch(/refuses.*since 2026-03-01.*kubectl mcpkeys set github/);
    expect(status).toMatchObject({
      state: 'Invalid',
      headers: [{ name: 'Authorization', state: 'Invalid', reason: 'KeyRejected', version }],
    });
    expect(status).not.toHaveProperty('rejected');
    expect(decideUserKey(observed({ object: rejectedAt(version - 1) }), now).status?.state).toBe('Configured');
  });

  test(verifies('validation:invalid-after-failures'), () => {
    const probing = policy({
      validation: { probe: { tool: { name: 'whoami' } }, schedule: '24h', invalidAfterFailures: 3 },
    });
    const stateAt = (verification: UserKeyVerification | undefined, policies = [probing]) => {
      const status = { version, ...(verification === undefined ? {} : { verification }) };
      const object = userKey({ metadata: { finalizers: [userKeyFinalizer] }, status });
      const decided = decideUserKey(observed({ object, policies }), now).status;
      return `${decided?.state} ${brief(decided)} ${decided?.headers?.[0]?.state}`;
    };
    const found = (verdict: UserKeyVerification['verdict'], failures: number, of = version) => ({
      version: of,
      verdict,
      failures,
      message: 'm',
    });
    expect(stateAt(undefined)).toBe('Unverified Ready=Unknown/Unverified Unverified');
    expect(stateAt(found('Unverified', 0))).toBe('Unverified Ready=Unknown/Unverified Unverified');
    expect(stateAt(found('Accepted', 0))).toBe('Configured Ready=True/Configured Configured');
    expect(stateAt(found('Rejected', 2))).toBe('Unverified Ready=Unknown/Unverified Unverified');
    expect(stateAt(found('Rejected', 3))).toBe('Invalid Ready=False/ProbeFailed Invalid');
    expect(stateAt(found('InsufficientScope', 3))).toBe('Configured Ready=True/ScopeMissing Configured');
    expect(stateAt(found('Rejected', 9, version - 1))).toBe('Unverified Ready=Unknown/Unverified Unverified');
    expect(stateAt(found('Rejected', 9), [])).toBe('Configured Ready=True/Configured Configured');
  });

  test('follows its age: Expiring before a policy ends it, Expired after, looked at again in time, and used on where policies warn', () => {
    const dayMs = 86_400_000;
    const briefAt = (days: number, onExpired: 'Block' | 'Warn' = 'Block', change: Partial<ObservedUserKey> = {}) => {
      const policies = [policy({ expiry: { maxAge: '30d', warnBefore: '7d', onExpired } })];
      const { status, requeueAfterMs } = decideUserKey(
        observed({ policies, ...change }),
        new Date(version + days * dayMs),
      );
      const again = requeueAfterMs === undefined ? 'never' : `${requeueAfterMs / dayMs}d`;
      return `${status?.state} ${brief(status)} ${status?.headers?.[0]?.state} ${status?.expiresAt} ${again}`;
    };
    const end = '2026-03-03T00:00:00.000Z';
    expect(briefAt(0)).toBe(`Configured Ready=True/Configured Configured ${end} 20d`);
    expect(briefAt(22)).toBe(`Configured Ready=True/Configured Configured ${end} 1d`);
    expect(briefAt(23)).toBe(`Expiring Ready=True/KeyExpiring Expiring ${end} 7d`);
    expect(briefAt(30)).toBe(`Expired Ready=False/KeyExpired Expired ${end} never`);
    expect(briefAt(30, 'Warn')).toBe(`Expired Ready=True/KeyExpired Expired ${end} never`);
    expect(briefAt(30, 'Block', { server: two })).toBe(`Expired Ready=False/KeyExpired Expired ${end} never`);
    expect(briefAt(30, 'Warn', { server: two })).toBe(`NeedsUpdate Ready=False/HeadersMissing Configured ${end} never`);
    expect(briefAt(30, 'Block', { stored: undefined })).toBe('Missing Ready=False/KeyMissing Missing undefined never');
  });

  test('tells of every declared header since when it is set', () => {
    const { status } = decideUserKey(observed({ server: optional }), now);
    expect(status?.headers).toEqual([
      { name: 'Authorization', state: 'Configured', version, setAt },
      { name: 'X-Client-ID', state: 'Missing', reason: 'OptionalNotSet' },
    ]);
  });

  test('leaves the version on record alone, whatever version a Secret claims: nobody has authenticated that', () => {
    for (const claimed of [undefined, stored, { ...stored, version: Number.MAX_SAFE_INTEGER }]) {
      expect(decideUserKey(observed({ stored: claimed }), now).status).not.toHaveProperty('version');
    }
  });

  test('is Missing while no version is on record: the sealed key may be from before a delete', () => {
    for (const status of [undefined, {}, { version: 0 }]) {
      const object = userKey({ metadata: { finalizers: [userKeyFinalizer] }, ...(status && { status }) });
      const decision = decideUserKey(observed({ object }), now);
      expect(brief(decision.status)).toBe('Ready=False/KeyMissing');
      expect(messageOf(decision.status)).toMatch(/not on record.*kubectl mcpkeys set github/);
      expect(decision.status).toMatchObject({ state: 'Missing', headers: [{ state: 'Missing', reason: 'NotSet' }] });
    }
  });

  test('refuses a sealed key that is older than the one on record', () => {
    const object = userKey({ metadata: { finalizers: [userKeyFinalizer] }, status: { version: version + 1 } });
    const { status } = decideUserKey(observed({ object }), now);
    expect(brief(status)).toBe('Ready=False/KeyRolledBack');
    expect(status).toMatchObject({ state: 'Missing', headers: [{ state: 'Missing', reason: 'KeyRolledBack' }] });
  });

  test('waits before it calls a key older that was set a moment ago: the cache of Secrets may be behind', () => {
    const recorded = now.getTime();
    const object = userKey({ metadata: { finalizers: [userKeyFinalizer] }, status: { version: recorded } });
    const decide = (afterMs: number) => decideUserKey(observed({ object }), new Date(recorded + afterMs));
    expect(decide(1_999)).toEqual({ steps: [], requeueAfterMs: 2_000 });
    expect(brief(decide(2_000).status)).toBe('Ready=False/KeyRolledBack');
  });
});

describe('the life of a UserKey', () => {
  test('begins with the finalizer, beside those of others', () => {
    const object = userKey({ metadata: { finalizers: ['example.com/other'] } });
    expect(decideUserKey(observed({ object }), now).steps).toEqual([
      { kind: 'finalizers', finalizers: ['example.com/other', userKeyFinalizer] },
    ]);
  });

  const deletionTimestamp = '2026-03-01T00:00:00Z';
  const leaving = userKey({ metadata: { finalizers: ['example.com/other', userKeyFinalizer], deletionTimestamp } });

  test('ends with the key destroyed, that recorded, and only then the finalizer gone', () => {
    const { steps, status } = decideUserKey(observed({ object: leaving, server: undefined, stored: undefined }), now);
    expect(steps).toEqual([
      { kind: 'act', action: { kind: 'destroyKey', server: { namespace: 'team-a', name: 'github' }, subject } },
      { kind: 'act', action: { kind: 'recordDestroyed', userKey: leaving, organization: 'acme' } },
      { kind: 'finalizers', finalizers: ['example.com/other'] },
    ]);
    expect(status).toBeUndefined();
  });

  test('asks for nothing once our finalizer is gone', () => {
    const object = userKey({ metadata: { finalizers: ['example.com/other'], deletionTimestamp } });
    expect(decideUserKey(observed({ object }), now)).toEqual({ steps: [] });
  });

  test('a made-up UserKey about another subject is ignored, and its deletion destroys nobody’s key', () => {
    const expectedName = 'github-qrstuvwxyz234567';
    const born = decideUserKey(observed({ object: userKey(), expectedName }), now);
    expect(born.steps).toEqual([]);
    expect(brief(born.status)).toBe('Ready=False/NameMismatch Stalled=True/NameMismatch');
    expect(born.status).toMatchObject({ state: 'Missing' });
    expect(born.status).not.toHaveProperty('headers');
    const deleted = decideUserKey(observed({ object: leaving, expectedName }), now);
    expect(deleted.steps).toEqual([{ kind: 'finalizers', finalizers: ['example.com/other'] }]);
  });
});
