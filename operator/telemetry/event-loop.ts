import { monitorEventLoopDelay } from 'node:perf_hooks';

import { type Clock, systemClock } from '#operator/kube/clock.ts';

import type { HealthCheck } from './health.ts';

export const eventLoopLimits = {
  /** How often the delays since the last look are judged. */
  periodMs: 10_000,
  /** Longer than this at the 99th percentile: not ready, as admission and broker answers would be late. */
  readyDelayMsMax: 200,
  /** Half of the leader's renew deadline: it would soon lose the lease anyway, and its fence would be late. */
  stallMsMax: 5000,
} as const;

/** Delays of the event loop since the last reset. */
export interface DelayMeter {
  /** Nanoseconds. */
  readonly max: number;
  percentile(percent: number): number;
  reset(): void;
  enable(): boolean;
  disable(): boolean;
}

export interface EventLoopWatchOptions {
  /** The loop stood still for so long that leadership is to be given up. */
  readonly onStall: (stalledMs: number) => void;
  readonly clock?: Clock;
  readonly meter?: DelayMeter;
}

export interface EventLoopWatch {
  readonly check: HealthCheck;
  stop(): void;
}

/** Measures whether this process gets round to its work. */
export function watchEventLoop(options: EventLoopWatchOptions): EventLoopWatch {
  const clock = options.clock ?? systemClock;
  const meter = options.meter ?? monitorEventLoopDelay({ resolution: 20 });
  let delayMs = 0;
  meter.enable();
  const judge = (): void => {
    const stalledMs = meter.max / 1e6;
    delayMs = meter.percentile(99) / 1e6;
    meter.reset();
    timer = clock.setTimer(judge, eventLoopLimits.periodMs);
    if (stalledMs > eventLoopLimits.stallMsMax) options.onStall(stalledMs);
  };
  let timer = clock.setTimer(judge, eventLoopLimits.periodMs);
  return {
    check: {
      name: 'event-loop',
      failing: () => (delayMs > eventLoopLimits.readyDelayMsMax ? `delayed by ${Math.round(delayMs)} ms` : undefined),
    },
    stop() {
      timer.cancel();
      meter.disable();
    },
  };
}
