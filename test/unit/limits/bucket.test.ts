import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type BucketRule, type BucketState, holdMsMax, take } from '#operator/limits/bucket.ts';
import { endOfDay } from '#operator/limits/calendar-day.ts';
import { takeAll } from '#operator/limits/take-all.ts';
import { verifies } from '#test/requirements.ts';

const minute: BucketRule = { kind: 'tokens', max: 60, burst: 20, periodMs: 60_000 };

function used(
  rule: BucketRule,
  nowMs: number,
  state?: BucketState,
): { granted: number; state: BucketState | undefined } {
  const taking = take(rule, state, { wanted: 1, nowMs });
  return { granted: taking.granted, state: 'state' in taking ? taking.state : state };
}

interface Action {
  readonly waitMs: number;
  readonly wanted: number;
  /** How long after the grant the block is used, as a part of its validity; 1 is never. */
  readonly delay: number;
}

/** One use: of how many, and when. */
type Use = readonly [atMs: number, count: number];

function play(rule: BucketRule, actions: readonly Action[]): readonly Use[] {
  const uses: Use[] = [];
  let state: BucketState | undefined;
  let nowMs = 1_000_000;
  for (const { waitMs, wanted, delay } of actions) {
    nowMs += waitMs;
    const taking = take(rule, state, { wanted, nowMs });
    if (!('state' in taking)) continue;
    ({ state } = taking);
    uses.push([nowMs, 1]);
    if (delay < 1 && taking.granted > 1) uses.push([nowMs + Math.floor(taking.validMs * delay), taking.granted - 1]);
  }
  return uses.toSorted(([one], [other]) => one - other);
}

describe('a bucket of tokens', () => {
  test(verifies('limits:exact'), () => {
    const action = fc.record({
      waitMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20_000 })),
      wanted: fc.integer({ min: 1, max: 64 }),
      delay: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const shape = fc.record({
      max: fc.integer({ min: 1, max: 500 }),
      burst: fc.integer({ min: 1, max: 500 }),
      periodMs: fc.constantFrom(1_000, 60_000, 3_600_000),
    });
    fc.assert(
      fc.property(shape, fc.array(action, { maxLength: 120 }), ({ max, burst, periodMs }, actions) => {
        const uses = play({ kind: 'tokens', max, burst, periodMs }, actions);
        for (const [from] of uses.entries()) {
          let sum = 0;
          for (const [atMs, count] of uses.slice(from)) {
            sum += count;
            const span = atMs - (uses[from]?.[0] ?? 0);
            expect(sum).toBeLessThanOrEqual(burst + (max * span) / periodMs + 1e-3);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('gives all that it has when it is drawn from without a pause, and no more', () => {
    let [state, total]: [BucketState | undefined, number] = [undefined, 0];
    for (let nowMs = 0; nowMs <= 120_000; nowMs += 100) {
      const next = used(minute, nowMs, state);
      total += next.granted;
      ({ state } = next);
    }
    expect(total).toBe(20 + 120);
  });

  test('fills as fast as it is drawn from in blocks', () => {
    let [state, total]: [BucketState | undefined, number] = [undefined, 0];
    const rule: BucketRule = { kind: 'tokens', max: 6_000, burst: 6_000, periodMs: 60_000 };
    for (let nowMs = 0; nowMs <= 120_000; nowMs += 10) {
      const taking = take(rule, state, { wanted: 64, nowMs });
      total += taking.granted;
      if ('state' in taking) ({ state } = taking);
    }
    expect(total).toBeGreaterThan(6_000 + 12_000 - 64);
    expect(total).toBeLessThanOrEqual(6_000 + 12_000);
  });

  test('says how long until there is one', () => {
    let state: BucketState | undefined;
    for (let count = 0; count < 20; count += 1) ({ state } = used(minute, 0, state));
    const refusal = take(minute, state, { wanted: 1, nowMs: 0 });
    expect(refusal).toEqual({ granted: 0, retryMs: 1_000 });
    expect(used(minute, 999, state).granted).toBe(0);
    expect(used(minute, 1_000, state).granted).toBe(1);
  });

  test('gives nothing more to a clock that is behind', () => {
    let state: BucketState | undefined;
    for (let count = 0; count < 20; count += 1) ({ state } = used(minute, 60_000, state));
    expect(used(minute, 0, state).granted).toBe(0);
  });

  test('does not wait for a clock that was far ahead, and gives nothing for it', () => {
    let state: BucketState | undefined;
    for (let count = 0; count < 20; count += 1) ({ state } = used(minute, 3_600_000, state));
    expect(take(minute, state, { wanted: 1, nowMs: 0 })).toEqual({ granted: 0, retryMs: 1_000 });
    const waiting: BucketState = { kind: 'tokens', level: 0, atMs: 0, held: [], endMs: 0 };
    expect(used(minute, 1_000, waiting).granted).toBe(1);
  });

  test('lets nobody through with a max of 0', () => {
    const none: BucketRule = { kind: 'tokens', max: 0, burst: 1, periodMs: 60_000 };
    expect(take(none, undefined, { wanted: 1, nowMs: 0 })).toEqual({ granted: 0, retryMs: 60_000 });
  });

  test('never keeps a block for longer than its bound', () => {
    const taking = take({ ...minute, burst: 1_000, max: 1 }, undefined, { wanted: 50, nowMs: 0 });
    expect(taking).toMatchObject({ granted: 50, validMs: holdMsMax });
  });
});

describe('a bucket of a day', () => {
  const berlin: BucketRule = { kind: 'day', max: 10, endOf: (nowMs) => endOfDay('Europe/Berlin', nowMs) };

  test('gives max in one day of its zone, whoever asks for how much, and anew at midnight', () => {
    let state: BucketState | undefined;
    const nowMs = Date.parse('2026-11-25T21:00:00Z');
    let total = 0;
    for (let count = 0; count < 20; count += 1) {
      const taking = take(berlin, state, { wanted: 7, nowMs });
      total += taking.granted;
      if ('state' in taking) ({ state } = taking);
    }
    expect(total).toBe(10);
    expect(take(berlin, state, { wanted: 1, nowMs })).toEqual({ granted: 0, retryMs: 2 * 3_600_000 });
    expect(used(berlin, Date.parse('2026-11-25T23:00:00Z'), state).granted).toBe(1);
  });

  test('keeps the day that has begun when the zone changes, so that nobody gets a second one', () => {
    const nowMs = Date.parse('2026-11-25T21:00:00Z');
    const spent: BucketState = { kind: 'day', used: 10, endMs: Date.parse('2026-11-25T23:00:00Z') };
    const tokyo: BucketRule = { ...berlin, endOf: (now) => endOfDay('Asia/Tokyo', now) };
    expect(take(tokyo, spent, { wanted: 1, nowMs }).granted).toBe(0);
  });
});

describe('several limits', () => {
  const day = {
    rule: { bucket: 'd', per: 'Day', max: 5 },
    bucket: { kind: 'day', max: 5, endOf: () => 1_000 },
  } as const;
  const none = {
    rule: { bucket: 'n', per: 'Day', max: 0 },
    bucket: { kind: 'day', max: 0, endOf: () => 1_000 },
  } as const;

  test('are counted together or not at all', () => {
    const wishes = [
      { bucket: 'd', wanted: 1 },
      { bucket: 'n', wanted: 1 },
    ];
    expect(takeAll([day, none], undefined, { wishes, nowMs: 0 })).toEqual({
      response: { kind: 'limited', bucket: 'n', retryMs: 1_000 },
      counts: undefined,
    });
  });
});
