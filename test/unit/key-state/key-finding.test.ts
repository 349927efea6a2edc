import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { type KeyFinding, keyFinding } from '#operator/key-state/key-finding.ts';
import { keyStates } from '#operator/key-state/key-states.ts';
import type { HeaderEnds } from '#operator/keystore/value-ends.ts';
import type { StoredKey } from '#operator/keystore/key-store.ts';
import { effectivePolicy } from '#operator/policy/effective-policy.ts';
import { verifies } from '#test/requirements.ts';
import { alice, brokerWorld, github, mcpServer, policyOf, userKeyOf } from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const dayMs = 86_400_000;
/** Of the broker world. */
const nowMs = Date.parse('2026-11-24T10:00:00Z');
const setMs = nowMs - 20 * dayMs;
const at = new Date(setMs).toISOString();
const dates = [nowMs - dayMs, nowMs + dayMs].map((ms) => new Date(ms).toISOString());

/** Mostly absent, so that what is rare does not hide the rest. */
function seldom<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

const version = fc.constantFrom(setMs - 1, setMs, setMs + 1);
const status = fc
  .record({
    version: fc.constantFrom(setMs, setMs, setMs, setMs, undefined, 0),
    rejected: seldom(version.map((rejected) => ({ version: rejected, at }))),
    revoked: seldom(version.map((revoked) => ({ version: revoked, at, by: 'root' }))),
    detected: seldom(fc.constantFrom(...dates).map((expiresAt) => ({ version: setMs, expiresAt, at }))),
    verification: fc.option(
      fc.record({
        version: fc.constantFrom(setMs - 1, setMs, setMs),
        verdict: fc.constantFrom('Accepted', 'Rejected', 'InsufficientScope', 'Unverified'),
        failures: fc.constantFrom(0, 1, 2),
      }),
      { nil: undefined },
    ),
    approval: fc.option(
      fc.record(
        {
          state: fc.constantFrom('Requested', 'Granted', 'Refused'),
          at: fc.constant(at),
          until: fc.constantFrom(...dates),
        },
        { requiredKeys: ['state', 'at'] },
      ),
      { nil: undefined },
    ),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as UserKeyStatus);
const spec: fc.Arbitrary<Omit<UserKeyPolicy['spec'], 'servers'>> = fc.record(
  {
    keys: fc.constant({ required: ['X-Client-ID'] }),
    expiry: fc.record(
      { maxAge: fc.constantFrom('10d', '25d', '90d'), onExpired: fc.constantFrom('Block' as const, 'Warn' as const) },
      { requiredKeys: ['maxAge'] },
    ),
    validation: fc.constantFrom(
      { probe: { tool: { name: 'whoami' } }, schedule: '24h' },
      { probe: { tool: { name: 'whoami' } }, invalidAfterFailures: 1 },
    ),
    approval: fc.constantFrom({}, {}, { required: true }, { required: true, validFor: '10d' }),
  },
  { requiredKeys: [] },
);
const ends: fc.Arbitrary<readonly HeaderEnds[]> = fc.constantFrom(
  [],
  [{ name: 'authorization', declaredAtMs: nowMs - 1 }],
  [{ name: 'authorization', detectedAtMs: nowMs + dayMs }],
);
const facts = fc.record({
  status,
  specs: fc.array(spec, { maxLength: 2 }),
  stored: fc.option(
    fc.record({
      version: fc.constantFrom(setMs - 1, setMs),
      names: fc.constantFrom(['Authorization'], ['Authorization', 'X-Client-ID']),
      ends,
    }),
    { nil: undefined },
  ),
});

type Facts = typeof facts extends fc.Arbitrary<infer One> ? One : never;

function storedKey({ stored }: Facts): StoredKey | undefined {
  if (stored === undefined) return undefined;
  const headerNames = stored.names.map((name) => name.toLowerCase());
  return { version: stored.version, headerNames, setAt: at, ends: stored.ends };
}

function policiesOf({ specs }: Facts): readonly UserKeyPolicy[] {
  return specs.map((one, index) => policyOf(`p${index}`, one));
}

function findingOf(one: Facts, change: { readonly status?: UserKeyStatus; readonly nowMs?: number } = {}): KeyFinding {
  const policy = effectivePolicy(mcpServer(), policiesOf(one), { subject: alice, groups: [] });
  const userKey = { status: { ...one.status, ...change.status } };
  return keyFinding({ userKey, stored: storedKey(one), policy, nowMs: change.nowMs ?? nowMs });
}

/** What the broker answers, key store and all. */
async function leaseOf(one: Facts): Promise<string> {
  const world = brokerWorld();
  const { stored } = one;
  if (stored !== undefined) {
    const values = Object.fromEntries(stored.names.map((name) => [name, 'value']));
    world.keyStore.set(alice, values, { version: stored.version, ends: stored.ends });
  }
  world.sources.userKeys.put(userKeyOf(alice, github, one.status));
  for (const policy of policiesOf(one)) world.sources.userKeyPolicies.put(policy);
  const { leases } = servicesOf(world);
  const answer = await leases.lease({ server: github, credential: 'token-of-alice' }, 'pod:team-a/github-0');
  const { decision } = readAnswer(answer) as { decision: string };
  return decision === 'denied' ? 'unreadable' : decision;
}

describe('the state of a key', () => {
  test(verifies('states:lease'), async () => {
    await fc.assert(
      fc.asyncProperty(facts, async (one) => {
        const { kind } = findingOf(one);
        const lease = await leaseOf(one);
        // What is on record may have been refused before it went: its user sets a new one all the same.
        const isBoth = (kind === 'missing' || kind === 'rolledBack') && lease === 'invalid';
        expect([kind, isBoth ? keyStates[kind].lease : lease]).toEqual([kind, keyStates[kind].lease]);
      }),
      { numRuns: 1_500 },
    );
  });

  test('is each of the table for some facts, so nothing of it goes unproven', () => {
    const kinds = new Set(fc.sample(facts, 20_000).map((one) => findingOf(one).kind));
    expect([...kinds].toSorted()).toEqual(Object.keys(keyStates).toSorted());
  });

  test(verifies('states:revoked-for-good'), () => {
    fc.assert(
      fc.property(facts, fc.integer({ min: 0, max: 10_000 }), (one, days) => {
        const revoked = { version: setMs, at, by: 'root' };
        const { kind } = findingOf(one, { status: { revoked }, nowMs: nowMs + days * dayMs });
        expect(keyStates[kind].lease).not.toBe('granted');
      }),
    );
  });

  test('gets better by time alone in no case', () => {
    fc.assert(
      fc.property(facts, fc.integer({ min: 0, max: 10_000 }), (one, days) => {
        const now = keyStates[findingOf(one).kind].lease;
        const later = keyStates[findingOf(one, { nowMs: nowMs + days * dayMs }).kind].lease;
        expect(now !== 'granted' && later === 'granted').toBe(false);
      }),
    );
  });
});
