import { describe, expect, test } from 'vitest';

import type { LimitRule, QuotaResponse, QuotaWish } from '#contract/quota.ts';
import { askAgainMs, Limiter } from '#sidecar/limits/limiter.ts';

const minute: LimitRule = { bucket: 'm', per: 'Minute', max: 60 };
const day: LimitRule = { bucket: 'd', per: 'Day', max: 5_000 };

type Answer = (wishes: readonly QuotaWish[]) => QuotaResponse;

function rig(answer: Answer) {
  const asked: (readonly QuotaWish[])[] = [];
  const time = { nowMs: 1_000 };
  const limiter = new Limiter({
    ask: async (_subject, wishes) => {
      asked.push(wishes);
      return answer(wishes);
    },
    nowMs: () => time.nowMs,
  });
  return { limiter, asked, time };
}

const generous: Answer = (wishes) => ({
  kind: 'granted',
  blocks: wishes.map(({ bucket, wanted }) => ({ bucket, granted: wanted, validMs: 5_000 })),
});

describe('a limiter', () => {
  test('asks once for all that it lacks, and not again while blocks last', async () => {
    const { limiter, asked, time } = rig(generous);
    for (let count = 0; count < 7; count += 1) {
      time.nowMs += 1;
      expect(await limiter.take('u', [minute, day])).toEqual({ kind: 'granted' });
    }
    expect(asked.map((wishes) => wishes.map(({ wanted }) => wanted))).toEqual([
      [1, 1],
      [2, 2],
      [4, 4],
    ]);
  });

  test('decides at once where blocks are there', async () => {
    const { limiter } = rig(() => ({ kind: 'granted', blocks: [{ bucket: 'm', granted: 5, validMs: 5_000 }] }));
    await limiter.take('u', [minute]);
    expect(limiter.take('u', [minute])).not.toBeInstanceOf(Promise);
  });

  test('loses what is left of a block when its time is over', async () => {
    const { limiter, asked, time } = rig(() => ({
      kind: 'granted',
      blocks: [{ bucket: 'm', granted: 5, validMs: 100 }],
    }));
    await limiter.take('u', [minute]);
    time.nowMs += 101;
    await limiter.take('u', [minute]);
    expect(asked).toHaveLength(2);
  });

  test('asks for as many as wait, in one question', async () => {
    const { limiter, asked } = rig(generous);
    const verdicts = await Promise.all(Array.from({ length: 50 }, async () => limiter.take('u', [minute])));
    expect(verdicts.every(({ kind }) => kind === 'granted')).toBe(true);
    expect(asked.length).toBeLessThanOrEqual(3);
  });

  test('says which limit is reached and for how long, without asking for each request', async () => {
    const { limiter, asked, time } = rig(() => ({ kind: 'limited', bucket: 'd', retryMs: 90_000 }));
    expect(await limiter.take('u', [minute, day])).toEqual({ kind: 'limited', rule: day, retryMs: 90_000 });
    time.nowMs += 1_000;
    expect(limiter.take('u', [minute, day])).toEqual({ kind: 'limited', rule: day, retryMs: 89_000 });
    expect(asked).toHaveLength(1);
  });

  test('keeps the users apart', async () => {
    const { limiter, asked } = rig(() => ({ kind: 'granted', blocks: [{ bucket: 'm', granted: 9, validMs: 5_000 }] }));
    await limiter.take('u', [minute]);
    await limiter.take('v', [minute]);
    expect(asked).toHaveLength(2);
  });

  test('does not let requests wait for a broker that was away a moment ago', async () => {
    const { limiter, asked, time } = rig(() => {
      throw new Error('away');
    });
    expect(await limiter.take('u', [minute])).toEqual({ kind: 'unknown' });
    expect(limiter.take('u', [minute])).toEqual({ kind: 'unknown' });
    time.nowMs += askAgainMs + 1;
    await limiter.take('u', [minute]);
    expect(asked).toHaveLength(2);
  });
});
