import { describe, expect, test, vi } from 'vitest';

import { type KeyOutcome, outcomesMax } from '#contract/outcome.ts';
import { OutcomeReporter } from '#sidecar/outcomes/outcome-reporter.ts';

const limits = { watchMs: 60_000, lingerMs: 5, attemptsMax: 3, backoff: { firstMs: 1, mostMs: 2 } };

function setUp(send: (batch: readonly KeyOutcome[]) => Promise<void> = async () => {}) {
  const sent: (readonly KeyOutcome[])[] = [];
  const clock = { nowMs: 0 };
  const failed = vi.fn<(error: unknown) => void>();
  const reporter = new OutcomeReporter({
    send: async (batch) => {
      sent.push(batch);
      await send(batch);
    },
    failed,
    nowMs: () => clock.nowMs,
    limits,
  });
  return { reporter, sent, clock, failed };
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
