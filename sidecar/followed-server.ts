import type { LeaseResponse, ServerRef } from './contract/lease.ts';
import type { QuotaResponse } from './contract/quota.ts';
import type { PolicySnapshot } from './contract/watch.ts';
import type { BrokerClient } from './leases/broker-client.ts';
import { LeaseCache } from './leases/lease-cache.ts';
import { LeaseClient } from './leases/lease-client.ts';
import { LeaseError } from './leases/lease-error.ts';
import { WatchClient } from './leases/watch-client.ts';
import { Limiter } from './limits/limiter.ts';
import { askQuota } from './limits/quota-client.ts';
import { OutcomeReporter } from './outcomes/outcome-reporter.ts';
import { sendOutcomes } from './outcomes/send-outcomes.ts';
import type { Reporting } from './reporting.ts';
import { errorFields } from './telemetry/log.ts';

/** One server as the broker tells of it: its policy, and the leases of its users. */
export interface FollowedServer {
  readonly leases: Pick<LeaseCache, 'lease' | 'changed' | 'size' | 'dropExpired'>;
  /** What its upstream makes of keys. */
  readonly outcomes: OutcomeReporter;
  readonly limiter: Limiter;
  readonly policy: () => PolicySnapshot | undefined;
  /** Whether its watch stream is open right now. */
  readonly connected: () => boolean;
  readonly start: () => void;
  readonly stop: () => void;
}

export interface FollowingParts {
  readonly server: ServerRef;
  readonly broker: BrokerClient;
  readonly nowMs: () => number;
  readonly reporting: Pick<Reporting, 'metrics' | 'log'>;
  /** Most leases that are kept; absent: all that one sidecar keeps. */
  readonly leaseEntriesMax?: () => number;
}

/** Whoever wants to know what becomes of the watch. */
export interface FollowingListener {
  readonly snapshot?: (policy: PolicySnapshot) => void;
  readonly interrupted?: (error: unknown) => void;
}

/**
 * Longest that a lease is used after the watch came back from a gap: renewed in the meantime, or gone. Never longer than it would have
 * been had the watch stayed away, or a key that was revoked in the gap would be in use for longer than `silenceMsMax`.
 */
const recheckGraceMs = 1_000;

export function followServer(parts: FollowingParts, listener: FollowingListener = {}): FollowedServer {
  const { server, broker, nowMs } = parts;
  const { metrics, log } = parts.reporting;
  const client = new LeaseClient({ broker, server });
  const cache: LeaseCache = new LeaseCache({
    fetchLease: (credential) => counted(() => client.fetch(credential), parts.reporting),
    isWatching: () => watch.isWatching(),
    nowMs,
    ...(parts.leaseEntriesMax === undefined ? {} : { entriesMax: parts.leaseEntriesMax }),
  });
  const watch: WatchClient = new WatchClient({
    server,
    nowMs,
    open: (path, signal) => openWatch(broker, path, signal),
    listener: {
      snapshot(policy, missed) {
        if (missed !== undefined) cache.recheckAll(Math.min(recheckGraceMs, missed.usableMs));
        log('info', 'the watch stream is open', { headers: policy.headers.length });
        listener.snapshot?.(policy);
      },
      invalidate: (subjectKey) => cache.invalidate(subjectKey),
      silent() {
        cache.dropAll();
        log('error', 'the broker has been silent for too long: no request is served until it is back');
      },
      interrupted(error) {
        metrics.watchInterrupted();
        log('warn', 'the watch stream was interrupted', errorFields(error));
        listener.interrupted?.(error);
      },
    },
  });
  const outcomes = new OutcomeReporter({
    send: (batch, ends) => sendOutcomes(broker, server, { outcomes: batch, ends }),
    failed: (error) => log('warn', 'the broker was not told what the upstream said of keys', errorFields(error)),
    nowMs,
  });
  const limiter = new Limiter({
    ask: (subjectKey, wishes) => timed(() => askQuota(broker, server, { subjectKey, wishes }), parts),
    nowMs,
  });
  return {
    leases: cache,
    outcomes,
    limiter,
    policy: () => watch.policy,
    connected: () => watch.connected,
    start: () => void watch.run(),
    stop: () => {
      watch.stop();
      outcomes.stop();
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
  { metrics, log }: Pick<Reporting, 'metrics' | 'log'>,
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

async function timed(
  ask: () => Promise<QuotaResponse>,
  { nowMs, reporting: { metrics, log } }: Pick<FollowingParts, 'nowMs' | 'reporting'>,
): Promise<QuotaResponse> {
  const startedMs = nowMs();
  try {
    const answer = await ask();
    metrics.quotaAnswered(answer.kind, nowMs() - startedMs);
    return answer;
  } catch (error) {
    metrics.quotaAnswered('failed', nowMs() - startedMs);
    log('warn', 'requests could not be counted', errorFields(error));
    throw error;
  }
}
