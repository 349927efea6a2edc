import { expect, test } from 'vitest';

import { eventLoopLimits, watchEventLoop } from '#operator/telemetry/event-loop.ts';
import { ManualClock } from '#test/support/manual-clock.ts';

class FakeMeter {
  max = 0;
  p99 = 0;
  percentile(): number {
    return this.p99;
  }
  reset(): void {
    this.max = 0;
    this.p99 = 0;
  }
  enable(): boolean {
    return true;
  }
  disable(): boolean {
    return true;
  }
}

test('a slow loop is not ready until it is fast again, and a stall is told', async () => {
  const [clock, meter] = [new ManualClock(), new FakeMeter()];
  const stalls: number[] = [];
  const watch = watchEventLoop({ onStall: (ms) => void stalls.push(ms), clock, meter });
  expect(watch.check.failing()).toBeUndefined();
  meter.p99 = 250e6;
  await clock.advance(eventLoopLimits.periodMs);
  expect(watch.check.failing()).toBe('delayed by 250 ms');
  await clock.advance(eventLoopLimits.periodMs);
  expect(watch.check.failing()).toBeUndefined();
  meter.max = 6000e6;
  await clock.advance(eventLoopLimits.periodMs);
  expect(stalls).toEqual([6000]);
  watch.stop();
  expect(clock.timers).toBe(0);
});
