import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { UserKeyPolicy, UserKeyPolicyExpiry } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { headerAge, knownEnds } from '#operator/key-state/header-age.ts';
import { blockedAtMs, expiresAtOf, keyAge, nextChangeAtMs } from '#operator/key-state/key-age.ts';
import { bind } from '#operator/policy/bound-policies.ts';
import { expiryRules } from '#operator/policy/expiry-rules.ts';
import { verifies } from '#test/requirements.ts';
import { policy, server } from '#test/unit/controllers/fixtures.ts';

const dayMs = 86_400_000;
const duration = fc
  .tuple(fc.integer({ min: 1, max: 999_999 }), fc.constantFrom('s', 'm', 'h', 'd'))
  .map(([amount, unit]) => `${amount}${unit}`);
const expiry = fc.record(
  { maxAge: duration, warnBefore: duration, onExpired: fc.constantFrom('Block' as const, 'Warn' as const) },
  { requiredKeys: [] },
);
const version = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

function rulesOfAll(policies: readonly UserKeyPolicy[]) {
  return expiryRules(bind(server(), policies, { kind: 'everyUser' }));
}

function rulesOf(...expiries: readonly UserKeyPolicyExpiry[]) {
  return rulesOfAll(expiries.map((one, index) => policy({ name: `p${index}`, expiry: one })));
}

describe('how old keys may get', () => {
  test('is unbounded without a policy that says something of it, and by default 90 days, with a warning 14 before', () => {
    expect(rulesOfAll([policy()])).toBeUndefined();
    expect(rulesOf({})).toEqual({
      maxAgeMs: { value: 90 * dayMs, decidedBy: 'p0' },
      warnBeforeMs: { value: 14 * dayMs, decidedBy: 'p0' },
      onExpired: { value: 'Block', decidedBy: 'p0' },
    });
    expect(rulesOf({ maxAge: '10d' })?.warnBeforeMs.value).toBe(5 * dayMs);
  });

  test('names for each field the policy that it is from', () => {
    expect(rulesOf({ onExpired: 'Warn' }, { maxAge: '10d' }, { warnBefore: '20d', onExpired: 'Warn' })).toEqual({
      maxAgeMs: { value: 10 * dayMs, decidedBy: 'p1' },
      warnBeforeMs: { value: 20 * dayMs, decidedBy: 'p2' },
      onExpired: { value: 'Block', decidedBy: 'p1' },
    });
  });

  test(verifies('expiry:strictest'), () => {
    fc.assert(
      fc.property(fc.array(expiry, { minLength: 1, maxLength: 5 }), expiry, (some, more) => {
        const policies = some.map((one, index) => policy({ name: `p${index}`, expiry: one }));
        const before = rulesOfAll(policies);
        expect(rulesOfAll(policies.toReversed())).toEqual(before);
        const after = rulesOfAll([...policies, policy({ name: 'more', expiry: more })]);
        if (before === undefined || after === undefined) throw new Error('there are rules');
        expect(after.maxAgeMs.value).toBeLessThanOrEqual(before.maxAgeMs.value);
        expect(after.warnBeforeMs.value).toBeGreaterThanOrEqual(before.warnBeforeMs.value);
        if (before.onExpired.value === 'Block') expect(after.onExpired.value).toBe('Block');
      }),
    );
  });
});

describe('the age of a key', () => {
  const order = ['fresh', 'expiring', 'expired'];

  test(verifies('expiry:time-moves-on'), () => {
    fc.assert(
      fc.property(version, expiry, fc.tuple(fc.nat(), fc.nat()), (sealed, one, [early, later]) => {
        const rules = rulesOf(one);
        const before = keyAge({ version: sealed }, rules, early * 1_000);
        const after = keyAge({ version: sealed }, rules, (early + later) * 1_000);
        expect(order.indexOf(after.kind)).toBeGreaterThanOrEqual(order.indexOf(before.kind));
        const renewed = keyAge({ version: sealed + 1 + later }, rules, early * 1_000);
        expect(order.indexOf(renewed.kind)).toBeLessThanOrEqual(order.indexOf(before.kind));
        expect(Date.parse(expiresAtOf(before) ?? '')).not.toBeNaN();
        if (!('nextChangeAtMs' in before)) return;
        expect(keyAge({ version: sealed }, rules, before.nextChangeAtMs - 1).kind).toBe(before.kind);
        expect(keyAge({ version: sealed }, rules, before.nextChangeAtMs).kind).not.toBe(before.kind);
      }),
    );
  });

  test('ends every copy where policies block, and none where they warn', () => {
    for (const nowMs of [0, 25 * dayMs, 99 * dayMs]) {
      expect(blockedAtMs(keyAge({ version: 1 }, rulesOf({ maxAge: '30d' }), nowMs))).toBe(1 + 30 * dayMs);
      expect(blockedAtMs(keyAge({ version: 1 }, rulesOf({ maxAge: '30d', onExpired: 'Warn' }), nowMs))).toBeUndefined();
    }
    expect(blockedAtMs(keyAge({ version: 1 }, undefined, 0))).toBeUndefined();
  });
});

describe('what ends a key', () => {
  const end = fc.integer({ min: 1, max: 4_000 }).map((days) => days * dayMs);
  const value = fc.record({ declaredAtMs: end, detectedAtMs: end }, { requiredKeys: [] });

  test(verifies('expiry:least'), () => {
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 4 }),
        fc.option(expiry, { nil: undefined }),
        fc.nat(5_000),
        (ends, one, day) => {
          const rules = one === undefined ? undefined : rulesOf(one);
          const age = keyAge({ version: 1, ends }, rules, day * dayMs);
          const known = ends.flatMap(({ declaredAtMs, detectedAtMs }) => [
            ...(declaredAtMs === undefined ? [] : [{ reason: 'DeclaredExpiry', atMs: declaredAtMs }]),
            ...(detectedAtMs === undefined ? [] : [{ reason: 'DetectedExpiry', atMs: detectedAtMs }]),
          ]);
          const all = [
            ...known,
            ...(rules === undefined ? [] : [{ reason: 'MaxAge', atMs: 1 + rules.maxAgeMs.value }]),
          ];
          if (age.kind === 'unbounded') {
            expect(all).toEqual([]);
            return;
          }
          const leastMs = Math.min(...all.map(({ atMs }) => atMs));
          expect(all).toContainEqual({ reason: age.reason, atMs: age.expiresAtMs });
          expect(age.kind === 'expired').toBe(day * dayMs >= leastMs);
          const blocking = all.filter(({ reason }) => reason === 'DetectedExpiry' || rules?.onExpired.value !== 'Warn');
          const blockedMs = blocking.length === 0 ? undefined : Math.min(...blocking.map(({ atMs }) => atMs));
          expect(blockedAtMs(age)).toBe(blockedMs);
          // Only what a policy lets pass is passed over, for what it does not.
          if (age.kind !== 'expired' || !age.isBlocked) expect(age.expiresAtMs).toBe(leastMs);
          else expect(age.expiresAtMs).toBe(blockedMs);
        },
      ),
    );
  });

  test('is warned of 14 days ahead, and not for more than half of what the key had', () => {
    const kindAt = (declaredAtMs: number, nowMs: number) =>
      keyAge({ version: 10 * dayMs, ends: [{ declaredAtMs }] }, undefined, nowMs).kind;
    expect(kindAt(100 * dayMs, 86 * dayMs - 1)).toBe('fresh');
    expect(kindAt(100 * dayMs, 86 * dayMs)).toBe('expiring');
    expect(kindAt(100 * dayMs, 100 * dayMs)).toBe('expired');
    expect(kindAt(14 * dayMs, 12 * dayMs - 1)).toBe('fresh');
    expect(kindAt(14 * dayMs, 12 * dayMs)).toBe('expiring');
  });

  test('is looked at again when something that is only warned of is followed by something that is not', () => {
    const ends = [{ declaredAtMs: 20 * dayMs, detectedAtMs: 30 * dayMs }];
    const age = keyAge({ version: 1, ends }, rulesOf({ onExpired: 'Warn' }), 25 * dayMs);
    expect(age).toMatchObject({ kind: 'expired', isBlocked: false, reason: 'DeclaredExpiry' });
    expect(nextChangeAtMs(age)).toBe(30 * dayMs);
    const later = keyAge({ version: 1, ends }, rulesOf({ onExpired: 'Warn' }), 30 * dayMs);
    expect(later).toMatchObject({ kind: 'expired', isBlocked: true, reason: 'DetectedExpiry' });
    expect(nextChangeAtMs(later)).toBeUndefined();
  });

  test('is each header’s own', () => {
    const stored = { version: 1, ends: [{ name: 'x-short', declaredAtMs: 20 * dayMs }] };
    const at = { expiry: undefined, now: new Date(25 * dayMs) };
    expect(headerAge(stored, 'X-Short', at).kind).toBe('expired');
    expect(headerAge(stored, 'X-Long', at).kind).toBe('unbounded');
    expect(keyAge(stored, undefined, 25 * dayMs).kind).toBe('expired');
    expect(knownEnds(stored, 'X-Short')).toEqual({ declaredExpiresAt: '1970-01-21T00:00:00.000Z' });
    expect(knownEnds(stored, 'X-Long')).toEqual({});
  });
});
