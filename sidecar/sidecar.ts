import type { RequestEvent } from './contract/audit.ts';
import type { ServerRef } from './contract/lease.ts';
import type { PolicySnapshot } from './contract/watch.ts';
import { followServer, type FollowedServer } from './followed-server.ts';
import type { BrokerClient } from './leases/broker-client.ts';
import { createReporting, type Reporting } from './reporting.ts';
import type { Log } from './telemetry/log.ts';
import type { Gauges, SidecarMetrics } from './telemetry/sidecar-metrics.ts';

/** Everything between the broker and the layers. */
export interface Sidecar {
  readonly leases: FollowedServer['leases'];
  readonly outcomes: FollowedServer['outcomes'];
  readonly limiter: FollowedServer['limiter'];
  readonly limited: SidecarMetrics['limits'];
  readonly policy: () => PolicySnapshot | undefined;
  readonly queue: { reserve(): boolean; fill(event: RequestEvent): void };
  readonly metrics: SidecarMetrics;
  /** What keeps it from serving. */
  readonly notReady: () => readonly string[];
  readonly start: () => void;
  /** Sends what is still to be recorded; resolves the number of events lost. */
  readonly stop: (flushMsMax: number) => Promise<number>;
}

export interface SidecarParts {
  readonly server: ServerRef;
  readonly broker: BrokerClient;
  readonly nowMs: () => number;
  readonly log: Log;
  readonly process: Pick<Gauges, 'residentBytes' | 'cpuSeconds'>;
}

export function assemble(parts: SidecarParts): Sidecar {
  const { server, broker, nowMs, log } = parts;
  const gauges = {
    ...parts.process,
    leases: () => followed.leases.size,
    watchConnected: () => followed.connected(),
  };
  const reporting: Reporting = createReporting({ broker, nowMs, log, gauges });
  const followed: FollowedServer = followServer({ server, broker, nowMs, reporting });
  return {
    leases: followed.leases,
    outcomes: followed.outcomes,
    limiter: followed.limiter,
    limited: reporting.metrics.limits,
    policy: followed.policy,
    queue: reporting.spool,
    metrics: reporting.metrics,
    notReady: () => (followed.policy() === undefined ? ['no policy from the broker yet'] : []),
    start: followed.start,
    stop: async (flushMsMax) => {
      followed.stop();
      return reporting.spool.flush(flushMsMax);
    },
  };
}
