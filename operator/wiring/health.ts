import { watchEventLoop } from '#operator/telemetry/event-loop.ts';
import { type HealthCheck, startHealthServer, startMetricsServer } from '#operator/telemetry/health.ts';

import type { Platform } from './platform.ts';

export interface Health {
  /** From now on `/readyz` also asks this. */
  require(check: HealthCheck): void;
  /** `/readyz` answers 503 for good: endpoints go away while listeners still serve. */
  drain(): void;
  close(): Promise<void>;
}

/** Answers from the first moment on: not ready until `started` is set by the caller's checks. */
export async function startHealth(platform: Platform, onStall: () => void): Promise<Health> {
  const { options, log, metrics } = platform;
  let draining = false;
  const ready: HealthCheck[] = [{ name: 'draining', failing: () => (draining ? 'shutting down' : undefined) }];
  const eventLoop = watchEventLoop({
    onStall(stalledMs) {
      log.error('the event loop stood still', { stalledMs: Math.round(stalledMs) });
      onStall();
    },
  });
  ready.push(eventLoop.check);
  const host = options.bindAddress;
  const health = await startHealthServer({ host, port: options.healthPort, live: [], ready });
  const scraped = await startMetricsServer({ host, port: options.metricsPort, registry: metrics.registry });
  log.info('serving health and metrics', { healthPort: health.port, metricsPort: scraped.port });
  return {
    require: (check) => void ready.push(check),
    drain() {
      draining = true;
    },
    close: async () => {
      eventLoop.stop();
      await Promise.all([health.close(), scraped.close()]);
    },
  };
}
