import { describe, expect, test } from 'vitest';

import { Gate } from '#operator/kube/gate.ts';
import { ManualClock, settle } from '#test/support/manual-clock.ts';

const limits = { tasksMin: 2, tasksMax: 3, patienceMs: 100 };

describe('gate', () => {
  test('runs a few at once and the others in their order', async () => {
    const clock = new ManualClock();
    const gate = new Gate(limits, clock);
    const log: number[] = [];
    let atOnce = 0;
    let atOnceMax = 0;
    const tasks = Array.from({ length: 6 }, (_, index) =>
      gate.run(async () => {
        log.push(index);
        atOnceMax = Math.max(atOnceMax, (atOnce += 1));
        await settle();
        atOnce -= 1;
      }),
    );
    await Promise.all(tasks);
    expect(log).toEqual([0, 1, 2, 3, 4, 5]);
    expect(atOnceMax).toBe(2);
    expect(clock.timers).toBe(0);
  });

  test('widens for who has waited, up to its maximum, and narrows when all is quiet', async () => {
    const clock = new ManualClock();
    const gate = new Gate(limits, clock);
    const release = Promise.withResolvers<void>();
    let running = 0;
    const task = async (): Promise<void> => {
      running += 1;
      await release.promise;
      running -= 1;
    };
    const tasks = Array.from({ length: 5 }, () => gate.run(task));
    await clock.advance(99);
    expect(running).toBe(2);
    await clock.advance(1000);
    expect(running).toBe(3);
    release.resolve();
    await Promise.all(tasks);
    const again = Array.from({ length: 3 }, () => gate.run(() => settle().then(() => void (running += 1))));
    await Promise.resolve();
    await Promise.all(again);
    expect(running).toBe(3);
  });

  test('a failed task gives its place back', async () => {
    const gate = new Gate(limits, new ManualClock());
    for (let round = 0; round < 5; round += 1) {
      await expect(gate.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    }
    expect(await gate.run(() => Promise.resolve('yes'))).toBe('yes');
  });

  test('who gives up waiting leaves, and its task never runs', async () => {
    const clock = new ManualClock();
    const gate = new Gate({ ...limits, tasksMin: 1, tasksMax: 1 }, clock);
    const release = Promise.withResolvers<void>();
    const first = gate.run(() => release.promise);
    const controller = new AbortController();
    let ran = false;
    const second = gate.run(async () => void (ran = true), controller.signal).catch((error: unknown) => error);
    controller.abort('enough');
    expect(await second).toBe('enough');
    release.resolve();
    await first;
    expect(await gate.run(() => Promise.resolve('next'))).toBe('next');
    expect(ran).toBe(false);
    expect(clock.timers).toBe(0);
  });
});
