import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type BudgetLimits, budgetName, ProbeBudget } from '#operator/validation/budget.ts';
import { jitterShare, nextProbeMs, planProbes, retryProbeMs } from '#operator/validation/plan.ts';
import { verifies } from '#test/requirements.ts';

const limits: BudgetLimits = {
  runningMax: 2,
  startsMax: 6,
  windowMs: 60_000,
  runningTotalMax: 5,
  runningOrganizationMax: 5,
};

interface Run {
  readonly starts: { readonly id: string; readonly upstreams: readonly string[]; readonly atMs: number }[];
  readonly runningMost: number;
}

/** A leader that looks every five seconds; each probe takes as long as it is said to. */
function simulate(
  keys: ReadonlyMap<string, { upstreams: string[]; dueAtMs: number; takesMs: number }>,
  untilMs: number,
): Run {
  let nowMs = 0;
  let runningMost = 0;
  const budget = new ProbeBudget({ nowMs: () => nowMs });
  const starts: Run['starts'] = [];
  const left = new Map(keys);
  const running = new Map<string, { place: Disposable; endMs: number }>();
  for (; nowMs <= untilMs; nowMs += 5_000) {
    for (const [id, { place, endMs }] of running) {
      if (endMs > nowMs) continue;
      place[Symbol.dispose]();
      running.delete(id);
    }
    const world = {
      nowMs,
      limits,
      runningTotal: budget.runningTotal,
      useOf: (upstream: string) => budget.useOf(upstream),
    };
    for (const key of planProbes(
      [...left].map(([id, rest]) => ({ id, ...rest })),
      world,
    )) {
      const place = budget.enter({ organization: key.id, upstreams: key.upstreams }, limits);
      expect(place).toBeDefined();
      if (place === undefined) continue;
      running.set(key.id, { place, endMs: nowMs + (left.get(key.id)?.takesMs ?? 0) });
      left.delete(key.id);
      starts.push({ id: key.id, upstreams: key.upstreams, atMs: nowMs });
    }
    runningMost = Math.max(runningMost, running.size);
    for (const upstream of ['a', 'b', 'c'])
      expect(budget.useOf(upstream).running).toBeLessThanOrEqual(limits.runningMax);
  }
  return { starts, runningMost };
}

const upstreamsOf = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 2 });
const someKeys = fc.array(fc.record({ upstreams: upstreamsOf, dueAtMs: fc.nat(300_000), takesMs: fc.nat(10_000) }), {
  minLength: 1,
  maxLength: 40,
});

describe('the plan of probes', () => {
  test(verifies('validation:budget'), () => {
    fc.assert(
      fc.property(someKeys, (list) => {
        const keys = new Map(list.map((key, index) => [String(index), key]));
        const { starts, runningMost } = simulate(keys, 1_500_000);
        expect(runningMost).toBeLessThanOrEqual(limits.runningTotalMax);
        for (const { atMs, upstreams } of starts) {
          for (const upstream of upstreams) {
            const within = starts.filter(
              (s) => s.upstreams.includes(upstream) && s.atMs > atMs - limits.windowMs && s.atMs <= atMs,
            );
            expect(within.length).toBeLessThanOrEqual(limits.startsMax);
          }
        }
        // Every key is probed, none before it is due, and none later than its upstreams' budgets make all of them wait.
        expect(new Set(starts.map(({ id }) => id)).size).toBe(keys.size);
        const waitMsMax = Math.ceil(keys.size / limits.startsMax) * limits.windowMs + 20_000;
        for (const { id, atMs } of starts) {
          const dueAtMs = keys.get(id)?.dueAtMs ?? 0;
          expect(atMs).toBeGreaterThanOrEqual(dueAtMs);
          expect(atMs - dueAtMs).toBeLessThanOrEqual(waitMsMax);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('is in time where the budget is enough: within the schedule and its jitter', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300_000, max: 90 * 86_400_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (intervalMs, random) => {
          const nextMs = nextProbeMs(1_000, intervalMs, random) - 1_000;
          expect(nextMs).toBeGreaterThanOrEqual(intervalMs);
          expect(nextMs).toBeLessThanOrEqual(intervalMs * (1 + jitterShare) + 1);
        },
      ),
    );
  });

  test('tries again sooner without a verdict, and ever more seldom', () => {
    const delays = Array.from({ length: 9 }, (_, attempts) =>
      retryProbeMs(0, { intervalMs: 86_400_000, attempts, random: 0 }),
    );
    expect(delays).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((minutes) => minutes * 60_000));
    expect(retryProbeMs(0, { intervalMs: 300_000, attempts: 9, random: 0 })).toBe(300_000);
  });

  test('leaves other organizations room, at upstreams and in all', () => {
    verifies('organizations:own-room');
    const budget = new ProbeBudget({ nowMs: () => 0 });
    const few = { ...limits, runningOrganizationMax: 3 };
    const enter = (organization: string, upstream: string) =>
      budget.enter({ organization, upstreams: [budgetName(organization, upstream)] }, few) !== undefined;
    expect([enter('acme', 'a'), enter('acme', 'a'), enter('acme', 'a')]).toEqual([true, true, false]);
    expect(enter('globex', 'a')).toBe(true);
    expect([enter('acme', 'b'), enter('acme', 'c')]).toEqual([true, false]);
    expect(enter('globex', 'b')).toBe(true);
  });

  test('lets nobody in beyond the budget, whoever asks', () => {
    const budget = new ProbeBudget({ nowMs: () => 0 });
    const places = Array.from({ length: 4 }, (_, index) =>
      budget.enter({ organization: `${index % 2}`, upstreams: ['a', 'a'] }, limits),
    );
    expect(places.map((place) => place !== undefined)).toEqual([true, true, false, false]);
    expect(budget.enter({ organization: 'other', upstreams: ['b', 'a'] }, limits)).toBeUndefined();
    expect(budget.useOf('b').running).toBe(0);
    places[0]?.[Symbol.dispose]();
    expect(budget.enter({ organization: 'other', upstreams: ['b', 'a'] }, limits)).toBeDefined();
  });
});
