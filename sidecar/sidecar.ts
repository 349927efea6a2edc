import type { RequestEvent } from './contract/audit.ts';
import type { LeaseResponse, ServerRef } from './contract/lease.ts';
import type { PolicySnapshot } from './contract/watch.ts';
import type { BrokerClient } from './leases/broker-client.ts';
import { LeaseCache } from './leases/lease-cache.ts';
import { LeaseClient } from './leases/lease-client.ts';
import { LeaseError } from './leases/lease-error.ts';
import { WatchClient, type WatchListener } from './leases/watch-client.ts';
import { AuditSpool } from './spool/audit-spool.ts';
import { sendAudit } from './spool/send-audit.ts';
import { type Gauges, SidecarMetrics } from './telemetry/sidecar-metrics.ts';
import { errorFields, type Log, rateLimited } from './telemetry/log.ts';

/** Everything between the broker and the layers. */
export interface Sidecar {
  readonly leases: { lease(credential: string): Promise<LeaseResponse> };
  readonly policy: () => PolicySnapshot | undefined;
  readonly queue: { reserve(): ((event: RequestEvent) => void) | undefined };
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

/** Longest that a lease is used after the watch came back from a gap: renewed in the meantime, or gone. */
export const recheckGraceMs = 1_000;
/** Shortest time between two log lines that say the same. */
const logEveryMs = 10_000;

export function assemble(parts: SidecarParts): Sidecar {
  const log = rateLimited(parts.log, logEveryMs, parts.nowMs);
  const client = new LeaseClient({ broker: parts.broker, server: parts.server });
  const spool: AuditSpool = new AuditSpool({
    send: (events) => sendAudit(parts.broker, events),
    observer: {
      sent: (events) => metrics.auditSent(events),
      full: () => metrics.auditFull(),
      failed: (error) => {
        metrics.auditFailed();
        log('warn', 'audit events were not accepted', errorFields(error));
      },
    },
  });
  const cache: LeaseCache = new LeaseCache({
    fetchLease: (credential) => counted(() => client.fetch(credential), metrics, log),
    isWatching: () => watch.isWatching(),
    nowMs: parts.nowMs,
  });
  const watch: WatchClient = new WatchClient({
    server: parts.server,
    nowMs: parts.nowMs,
    open: (path, signal) => openWatch(parts.broker, path, signal),
    listener: { ...follow(cache, log), interrupted: (error) => interrupted(error, log) },
  });
  const metrics: SidecarMetrics = new SidecarMetrics({
    ...parts.process,
    leases: () => cache.size,
    auditQueue: () => spool.length,
    watchConnected: () => watch.connected,
  });
  function interrupted(error: unknown, to: Log): void {
    metrics.watchInterrupted();
    to('warn', 'the watch stream was interrupted', errorFields(error));
  }
  return {
    leases: cache,
    policy: () => watch.policy,
    queue: spool,
    metrics,
    notReady: () => (watch.policy === undefined ? ['no policy from the broker yet'] : []),
    start: () => void watch.run(),
    stop: async (flushMsMax) => {
      watch.stop();
      return spool.flush(flushMsMax);
    },
  };
}

function follow(cache: LeaseCache, log: Log): Omit<WatchListener, 'interrupted'> {
  return {
    snapshot(policy, missed) {
      if (missed) cache.recheckAll(recheckGraceMs);
      log('info', 'the watch stream is open', { headers: policy.headers.length });
    },
    invalidate: (subjectKey) => cache.invalidate(subjectKey),
    silent() {
      cache.dropAll();
      log('error', 'the broker has been silent for too long: no request is served until it is back');
    },
  };
}

async function openWatch(broker: BrokerClient, path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const response = await broker.call({ method: 'GET', path, signal });
  if (response.body === null) throw new LeaseError('BrokerUnavailable', 'the watch stream has no body');
  return response.body;
}

async function counted(
  fetchLease: () => Promise<LeaseResponse>,
  metrics: SidecarMetrics,
  log: Log,
): Promise<LeaseResponse> {
  try {
    const response = await fetchLease();
    metrics.leaseAnswered(response.decision);
    return response;
  } catch (error) {
    if (error instanceof LeaseError) metrics.leaseAnswered(error.code);
    log('warn', 'no lease could be had', errorFields(error));
    throw error;
  }
}
