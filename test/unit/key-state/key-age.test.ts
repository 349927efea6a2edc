import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { UserKeyPolicyExpiry } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { blockedAtMs, expiresAtOf, keyAge } from '#operator/key-state/key-age.ts';
import { expiryRules } from '#operator/policy/expiry-rules.ts';
import { verifies } from '#test/requirements.ts';
import { policy } from '#test/unit/controllers/fixtures.ts';

const dayMs = 86_400_000;
const duration = fc
  .tuple(fc.integer({ min: 1, max: 999_999 }), fc.constantFrom('s', 'm', 'h', 'd'))
  .map(([amount, unit]) => `${amount}${unit}`);
const expiry = fc.record(
  { maxAge: duration, warnBefore: duration, onExpired: fc.constantFrom('Block' as const, 'Warn' as const) },
  { requiredKeys: [] },
);
const version = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

function rulesOf(...expiries: readonly UserKeyPolicyExpiry[]) {
  return expiryRules(expiries.map((one, index) => policy({ name: `p${index}`, expiry: one })));
}

describe('how old keys may get', () => {
  test('is unbounded without a policy that says something of it, and by default 90 days, with a warning 14 before', () => {
    expect(expiryRules([policy()])).toBeUndefined();
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
        const before = expiryRules(policies);
        expect(expiryRules(policies.toReversed())).toEqual(before);
        const after = expiryRules([...policies, policy({ name: 'more', expiry: more })]);
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
        const before = keyAge(sealed, rules, early * 1_000);
        const after = keyAge(sealed, rules, (early + later) * 1_000);
        expect(order.indexOf(after.kind)).toBeGreaterThanOrEqual(order.indexOf(before.kind));
        const renewed = keyAge(sealed + 1 + later, rules, early * 1_000);
        expect(order.indexOf(renewed.kind)).toBeLessThanOrEqual(order.indexOf(before.kind));
        expect(Date.parse(expiresAtOf(before) ?? '')).not.toBeNaN();
        if (!('nextChangeAtMs' in before)) return;
        expect(keyAge(sealed, rules, before.nextChangeAtMs - 1).kind).toBe(before.kind);
        expect(keyAge(sealed, rules, before.nextChangeAtMs).kind).not.toBe(before.kind);
      }),
    );
  });

  test('ends every copy where policies block, and none where they warn', () => {
    for (const nowMs of [0, 25 * dayMs, 99 * dayMs]) {
      expect(blockedAtMs(keyAge(1, rulesOf({ maxAge: '30d' }), nowMs))).toBe(1 + 30 * dayMs);
      expect(blockedAtMs(keyAge(1, rulesOf({ maxAge: '30d', onExpired: 'Warn' }), nowMs))).toBeUndefined();
    }
    expect(blockedAtMs(keyAge(1, undefined, 0))).toBeUndefined();
  });
});
