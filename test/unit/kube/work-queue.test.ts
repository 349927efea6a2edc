import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { WorkQueue } from '#operator/kube/work-queue.ts';
import { ManualClock } from '#test/support/manual-clock.ts';

describe('work queue', () => {
  test('hands a key out once, however often it was added', async () => {
    const queue = new WorkQueue({ clock: new ManualClock() });
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    expect(queue.length).toBe(2);
    expect(await queue.take()).toBe('a');
    expect(await queue.take()).toBe('b');
    expect(queue.length).toBe(0);
  });

  test('runs a key again that was added while it was worked on, and only after that', async () => {
    const queue = new WorkQueue({ clock: new ManualClock() });
    queue.add('a');
    await queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.length).toBe(0);
    queue.done('a');
    expect(await queue.take()).toBe('a');
    queue.done('a');
    expect(queue.length).toBe(0);
  });

  test('gives a delayed key at its earliest time', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue({ clock });
    queue.addAfter('late', 500);
    queue.addAfter('a', 300);
    queue.addAfter('a', 100);
    queue.addAfter('a', 200);
    await clock.advance(99);
    expect(queue.length).toBe(0);
    await clock.advance(1);
    expect(await queue.take()).toBe('a');
    queue.done('a');
    await clock.advance(250);
    expect(queue.length).toBe(0);
    await clock.advance(150);
    expect(await queue.take()).toBe('late');
  });

  test('doubles the delay of a failing key from 5 ms up to five minutes, and starts over after a success', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue({
      clock,
      limits: { itemDelayMsMin: 5, itemDelayMsMax: 300_000, perSecond: 1000, burst: 1000 },
    });
    const delays: number[] = [];
    for (let failure = 0; failure < 18; failure += 1) delays.push(await timeUntilBack(queue, clock));
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(delays.at(-1)).toBe(300_000);
    queue.forget('a');
    expect(await timeUntilBack(queue, clock)).toBe(5);
  });

  test('lets all failing keys together back at 10 a second after a burst of 100', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue({ clock });
    for (let index = 0; index < 150; index += 1) queue.addRateLimited(`key${index}`);
    await clock.advance(10);
    expect(queue.length).toBe(100);
    await clock.advance(2000);
    expect(queue.length).toBe(120);
    await clock.advance(3000);
    expect(queue.length).toBe(150);
  });

  test('draining hands out what waits, takes nothing new, and resolves when all is done', async () => {
    const queue = new WorkQueue({ clock: new ManualClock() });
    queue.add('a');
    queue.add('b');
    const first = await queue.take();
    let drained = false;
    const shutdown = queue.shutdown({ drain: true }).then(() => (drained = true));
    queue.add('c');
    expect(await queue.take()).toBe('b');
    const none = queue.take();
    queue.done(first!);
    await Promise.resolve();
    expect(drained).toBe(false);
    queue.done('b');
    await shutdown;
    expect(await none).toBeUndefined();
  });

  test('closing drops what waits and leaves no timer', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue({ clock });
    queue.add('a');
    queue.addAfter('b', 1000);
    const shutdown = queue.shutdown({ drain: false });
    expect(await queue.take()).toBeUndefined();
    await shutdown;
    expect(clock.timers).toBe(0);
  });
});

async function timeUntilBack(queue: WorkQueue, clock: ManualClock): Promise<number> {
  const startedAtMs = clock.nowMs();
  queue.addRateLimited('a');
  while (queue.length === 0) await clock.advance(5);
  await queue.take();
  queue.done('a');
  return clock.nowMs() - startedAtMs;
}

type Step =
  | { readonly kind: 'add' | 'addRateLimited'; readonly key: string }
  | { readonly kind: 'addAfter'; readonly key: string; readonly delayMs: number }
  | { readonly kind: 'advance'; readonly ms: number };

const key = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('add' as const, 'addRateLimited' as const), key }),
  fc.record({ kind: fc.constant('addAfter' as const), key, delayMs: fc.nat(50) }),
  fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(30) }),
);

test('never runs a key twice at once, and never loses one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.array(fc.nat(20), { minLength: 1, maxLength: 10 }),
      async (steps, durations) => {
        const clock = new ManualClock();
        const queue = new WorkQueue({ clock });
        const running = new Set<string>();
        const startedAt = new Map<string, number>();
        const wantedAt = new Map<string, number>();
        let overlaps = 0;
        let runs = 0;
        const work = async (): Promise<void> => {
          for (let next = await queue.take(); next !== undefined; next = await queue.take()) {
            if (running.has(next)) overlaps += 1;
            running.add(next);
            startedAt.set(next, (runs += 1));
            const durationMs = durations[runs % durations.length]!;
            await new Promise<void>((resolve) => void clock.setTimer(resolve, durationMs));
            running.delete(next);
            queue.done(next);
          }
        };
        const workers = [work(), work(), work()];
        for (const action of steps) {
          if (action.kind === 'advance') {
            await clock.advance(action.ms);
            continue;
          }
          // Every addition must be followed by a run that starts after it.
          wantedAt.set(action.key, runs);
          if (action.kind === 'add') queue.add(action.key);
          if (action.kind === 'addRateLimited') queue.addRateLimited(action.key);
          if (action.kind === 'addAfter') queue.addAfter(action.key, action.delayMs);
        }
        await clock.advance(100_000);
        expect(overlaps).toBe(0);
        for (const [wanted, after] of wantedAt) expect(startedAt.get(wanted)).toBeGreaterThan(after);
        await queue.shutdown({ drain: true });
        await Promise.all(workers);
        expect(clock.timers).toBe(0);
      },
    ),
    { numRuns: 100 },
  );
});
