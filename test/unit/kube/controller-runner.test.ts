import { describe, expect, test } from 'vitest';

import {
  type Controller,
  type ControllerOptions,
  startController,
  TerminalError,
} from '#operator/kube/controller-runner.ts';
import { createMetrics } from '#operator/telemetry/metrics.ts';
import { ManualClock, settle } from '#test/support/manual-clock.ts';

function start(clock: ManualClock, reconcile: ControllerOptions['reconcile']) {
  const metrics = createMetrics();
  const logged: string[] = [];
  const log = { debug: ignore, info: ignore, warn: note, error: note };
  const controller: Controller = startController({
    name: 'test',
    workers: 2,
    reconcile,
    clock,
    log,
    observer: metrics.controller('test'),
    queueObserver: metrics.workQueue('test'),
  });
  return { controller, logged, value: async (name: string) => await valueOf(metrics, name) };

  function note(message: string): void {
    logged.push(message);
  }
  function ignore(): void {
    // Not looked at.
  }
}

async function valueOf(metrics: ReturnType<typeof createMetrics>, name: string): Promise<number | undefined> {
  const line = (await metrics.registry.metrics()).split('\n').find((one) => one.startsWith(name));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}

describe('controller', () => {
  test('reconciles a key, and again when the outcome asks for it', async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    const { controller, value } = start(clock, async (key) => {
      seen.push(`${key.namespace}/${key.name}`);
      return seen.length < 3 ? { requeueAfterMs: 5000 } : {};
    });
    controller.enqueue({ namespace: 'n', name: 'x' });
    await clock.advance(4999);
    expect(seen).toEqual(['n/x']);
    await clock.advance(20_000);
    expect(seen).toHaveLength(3);
    expect(await value('controller_runtime_reconcile_total{controller="test",result="requeue_after"}')).toBe(2);
    expect(await value('controller_runtime_reconcile_total{controller="test",result="success"}')).toBe(1);
    await controller.stop();
  });

  test('tries a failing key again and again, later each time, and other keys are not held up', async () => {
    const clock = new ManualClock();
    const runs: Record<string, number> = {};
    const { controller, value, logged } = start(clock, async (key) => {
      runs[key.name] = (runs[key.name] ?? 0) + 1;
      if (key.name === 'bad' && runs[key.name]! < 5) throw new Error('no');
      return {};
    });
    controller.enqueue({ name: 'bad' });
    controller.enqueue({ name: 'good' });
    await clock.advance(200);
    expect(runs).toEqual({ bad: 5, good: 1 });
    expect(await value('controller_runtime_reconcile_errors_total')).toBe(4);
    expect(await value('workqueue_retries_total')).toBe(4);
    expect(logged).toEqual(Array.from({ length: 4 }, () => 'reconcile failed, trying again'));
    await controller.stop();
  });

  test('does not try a terminal failure again until the key is added again', async () => {
    const clock = new ManualClock();
    let runs = 0;
    const { controller, value } = start(clock, async () => {
      runs += 1;
      throw new TerminalError('never');
    });
    controller.enqueue({ name: 'x' });
    await clock.advance(600_000);
    expect(runs).toBe(1);
    controller.enqueue({ name: 'x' });
    await clock.advance(1);
    expect(runs).toBe(2);
    expect(await value('controller_runtime_terminal_reconcile_errors_total')).toBe(2);
    await controller.stop();
  });

  test('aborts a reconcile after 60 s; its key runs again', async () => {
    const clock = new ManualClock();
    let runs = 0;
    const { controller, value } = start(clock, async (_key, signal) => {
      runs += 1;
      if (runs === 1) await aborted(signal);
      signal.throwIfAborted();
      return {};
    });
    controller.enqueue({ name: 'x' });
    await clock.advance(59_999);
    expect(runs).toBe(1);
    await clock.advance(100);
    expect(runs).toBe(2);
    expect(await value('controller_runtime_reconcile_timeouts_total')).toBe(1);
    await controller.stop();
  });

  test('stopping aborts what runs, waits for it, and starts nothing more', async () => {
    const clock = new ManualClock();
    let finished = false;
    let runs = 0;
    const { controller, logged } = start(clock, async (_key, signal) => {
      runs += 1;
      await aborted(signal);
      await settle();
      finished = true;
      throw new Error('interrupted');
    });
    for (const name of ['a', 'b', 'c']) controller.enqueue({ name });
    await settle();
    await controller.stop();
    expect(finished).toBe(true);
    expect(runs).toBe(2);
    expect(logged).toEqual([]);
    controller.enqueue({ name: 'd' });
    await clock.advance(1000);
    expect(runs).toBe(2);
    expect(clock.timers).toBe(0);
  });
});

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
