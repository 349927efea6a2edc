import type { Registry } from 'prom-client';
import { Counter, Gauge, Histogram } from 'prom-client';

import type { KeySource, LeaseResponse } from '#contract/lease.ts';

import type { BrokerErrorCode } from './errors.ts';
import type { MarkResult } from './mark-rejected.ts';

/** What is told about the broker while it works. Labels come from closed sets: no user, pod or server is named. */
export interface BrokerObserver {
  leaseAnswered(result: LeaseResponse['decision'] | 'error', reason: string): void;
  leaseTook(seconds: number): void;
  /** `none`: the server needs no key. */
  keyReleased(source: KeySource | 'none'): void;
  streams(count: number): void;
  streamCut(why: StreamEnd): void;
  callFailed(route: string, code: BrokerErrorCode): void;
  denialNotRecorded(): void;
  requestsCounted(count: number): void;
  keyRejection(result: MarkResult | 'upstreamSuspected' | 'failed' | 'unproven'): void;
}

export type StreamEnd = 'clientGone' | 'slow' | 'lifetime' | 'podGone' | 'serverGone' | 'draining';

export function createBrokerObserver(registry: Registry): BrokerObserver {
  const registers = [registry];
  const releases = new Counter({
    name: 'mcpkeyring_key_release_total',
    help: 'Answers to lease requests',
    labelNames: ['result', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'mcpkeyring_lease_duration_seconds',
    help: 'Time from a lease request to the decision, audit included',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  const sources = new Counter({
    name: 'mcpkeyring_key_source_total',
    help: 'Leases that were given, by whose key is in them',
    labelNames: ['source'],
    registers,
  });
  const streams = new Gauge({ name: 'mcpkeyring_watch_streams', help: 'Open watch streams', registers });
  const ends = new Counter({
    name: 'mcpkeyring_watch_streams_ended_total',
    help: 'Watch streams that ended',
    labelNames: ['why'],
    registers,
  });
  const failures = new Counter({
    name: 'mcpkeyring_broker_failures_total',
    help: 'Calls that were refused or failed before a decision',
    labelNames: ['route', 'code'],
    registers,
  });
  const unrecorded = new Counter({
    name: 'mcpkeyring_audit_denials_not_recorded_total',
    help: 'Refusals that were only counted, because their source had too many or the audit log took none',
    registers,
  });
  const counted = new Counter({
    name: 'mcpkeyring_audit_requests_counted_total',
    help: 'Requests of nobody known that were only counted, because their pod refused too many in a minute',
    registers,
  });
  const rejections = new Counter({
    name: 'mcpkeyring_key_rejections_total',
    help: 'Keys that upstreams refused, by what became of it',
    labelNames: ['result'],
    registers,
  });
  return {
    leaseAnswered: (result, reason) => releases.inc({ result, reason }),
    leaseTook: (seconds) => duration.observe(seconds),
    keyReleased: (source) => sources.inc({ source }),
    streams: (count) => streams.set(count),
    streamCut: (why) => ends.inc({ why }),
    callFailed: (route, code) => failures.inc({ route, code }),
    denialNotRecorded: () => unrecorded.inc(),
    requestsCounted: (count) => counted.inc(count),
    keyRejection: (result) => rejections.inc({ result }),
  };
}
