import { describe, expect, test, vi } from 'vitest';

import { type KeyEnd, type KeyOutcome, outcomesMax } from '#contract/outcome.ts';
import { OutcomeReporter } from '#sidecar/outcomes/outcome-reporter.ts';

const limits = {
  watchMs: 60_000,
  endAgainMs: 600_000,
  lingerMs: 5,
  attemptsMax: 3,
  backoff: { firstMs: 1, mostMs: 2 },
};

function setUp(send: (batch: readonly KeyOutcome[]) => Promise<void> = async () => {}) {
  const sent: (readonly KeyOutcome[])[] = [];
  const sentEnds: (readonly KeyEnd[])[] = [];
  const clock = { nowMs: 0 };
  const failed = vi.fn<(error: unknown) => void>();
  const reporter = new OutcomeReporter({
    send: async (batch, ends) => {
      sent.push(batch);
      sentEnds.push(ends);
      await send(batch);
    },
    failed,
    nowMs: () => clock.nowMs,
    limits,
  });
  return { reporter, sent, sentEnds, clock, failed };
}

describe('what the broker is told of keys', () => {
  test('is nothing while none is refused', async () => {
    const { reporter, sent } = setUp();
    expect(reporter.isWatching).toBe(false);
    reporter.accepted({ subjectKey: 'a', keyVersion: 1 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sent).toEqual([]);
  });

  test('is the latest of each user and version, with the keys that are good for a minute after', async () => {
    const { reporter, sent, clock } = setUp();
    reporter.rejected({ subjectKey: 'a', keyVersion: 1 });
    reporter.accepted({ subjectKey: 'b', keyVersion: 1 });
    reporter.rejected({ subjectKey: 'b', keyVersion: 1 });
    reporter.accepted({ subjectKey: 'a', keyVersion: 2 });
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]).toEqual([
      { subjectKey: 'a', keyVersion: 1, outcome: 'rejected' },
      { subjectKey: 'b', keyVersion: 1, outcome: 'rejected' },
      { subjectKey: 'a', keyVersion: 2, outcome: 'accepted' },
    ]);
    clock.nowMs = 60_000;
    expect(reporter.isWatching).toBe(false);
  });

  test('holds nothing but who and which version', async () => {
    const { reporter, sent } = setUp();
    const lease = { subjectKey: 'a', keyVersion: 1, headers: [{ name: 'X', value: 'secret' }] };
    reporter.rejected(lease);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(JSON.stringify(sent)).not.toContain('secret');
  });

  test('is sent again when the broker does not take it, and given up in the end', async () => {
    let left = 2;
    const retried = setUp(async () => {
      left -= 1;
      if (left >= 0) throw new Error('away');
    });
    retried.reporter.rejected({ subjectKey: 'a', keyVersion: 1 });
    await vi.waitFor(() => expect(retried.sent).toHaveLength(3));
    expect(retried.failed).toHaveBeenCalledTimes(2);
    const hopeless = setUp(() => Promise.reject(new Error('away')));
    hopeless.reporter.rejected({ subjectKey: 'a', keyVersion: 1 });
    await vi.waitFor(() => expect(hopeless.sent).toHaveLength(3));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(hopeless.sent).toHaveLength(3);
  });

  test('is bounded while the broker is away', async () => {
    const { reporter, sent } = setUp();
    for (let user = 0; user < outcomesMax + 100; user += 1)
      reporter.rejected({ subjectKey: `u${user}`, keyVersion: 1 });
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]).toHaveLength(outcomesMax);
    expect(sent[0]!.at(-1)).toMatchObject({ subjectKey: `u${outcomesMax + 99}` });
  });
});

describe('what the broker is told of the ends of keys', () => {
  const endsAt = '2027-01-31T09:00:00.000Z';

  test('is told once, however many answers say it, and again after ten minutes or when it changes', async () => {
    const { reporter, sent, sentEnds, clock } = setUp();
    const lease = { subjectKey: 'a', keyVersion: 1, receipt: 'r', headers: [{ name: 'X', value: 'secret' }] };
    for (let answer = 0; answer < 5; answer += 1) reporter.ends(lease, endsAt);
    await vi.waitFor(() => expect(sentEnds).toHaveLength(1));
    expect(sent).toEqual([[]]);
    expect(sentEnds[0]).toEqual([{ subjectKey: 'a', keyVersion: 1, endsAt, receipt: 'r' }]);
    clock.nowMs = 599_999;
    reporter.ends(lease, endsAt);
    reporter.ends({ ...lease, keyVersion: 2 }, endsAt);
    reporter.ends(lease, '2027-02-01T00:00:00.000Z');
    await vi.waitFor(() => expect(sentEnds.flat()).toHaveLength(3));
    expect(sentEnds.flat().slice(1)).toMatchObject([{ keyVersion: 2 }, { endsAt: '2027-02-01T00:00:00.000Z' }]);
    clock.nowMs += 600_000;
    reporter.ends(lease, '2027-02-01T00:00:00.000Z');
    await vi.waitFor(() => expect(sentEnds.flat()).toHaveLength(4));
    expect(reporter.isWatching).toBe(false);
  });

  test('takes bounded room', async () => {
    const { reporter, sentEnds } = setUp();
    for (let user = 0; user < outcomesMax + 100; user += 1) {
      reporter.ends({ subjectKey: `u${user}`, keyVersion: 1 }, endsAt);
    }
    await vi.waitFor(() => expect(sentEnds).toHaveLength(1));
    expect(sentEnds[0]).toHaveLength(outcomesMax);
  });
});
