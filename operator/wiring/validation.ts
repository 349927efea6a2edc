import { lookup } from 'node:dns/promises';

import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { EndRecorder } from '#operator/key-state/end-recorder.ts';
import type { RequestKey } from '#operator/kube/request-key.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';
import { ProbeBudget } from '#operator/validation/budget.ts';
import { createProbeObserver } from '#operator/validation/metrics.ts';
import { ProbeProblems } from '#operator/validation/probe-problems.ts';
import { Prober } from '#operator/validation/prober.ts';
import { type ProbeSchedule, startProbeSchedule } from '#operator/validation/schedule.ts';
import { KeyTrials } from '#operator/validation/trials.ts';
import { UpstreamSuspicion } from '#operator/validation/upstream-suspicion.ts';

import type { Informers } from './informers.ts';
import type { Keys } from './keys.ts';
import type { Platform } from './platform.ts';

export interface ValidationWiring {
  readonly platform: Platform;
  readonly informers: Informers;
  /** Fenced. */
  readonly client: KubeClient;
  readonly tenancy: TenancyIndex;
  readonly keys: Keys;
  readonly audit: AuditLog;
}

/** Trying keys, on the leader: for whoever sets one, and on schedule. */
export interface Validation {
  readonly trials: KeyTrials;
  readonly problems: ProbeProblems;
  /** Told which policy has to be looked at again. */
  onProblem(handler: (policy: RequestKey) => void): void;
  startSchedule(): ProbeSchedule;
}

function now(): Date {
  return new Date();
}

export function createValidation(wiring: ValidationWiring): Validation {
  const { platform, informers, client, tenancy, keys, audit } = wiring;
  const { clock, log, metrics, options } = platform;
  const handlers: ((policy: RequestKey) => void)[] = [];
  const problems = new ProbeProblems((policy) => handlers.forEach((handler) => handler(policy)));
  const budget = new ProbeBudget({ nowMs: () => Date.now() });
  const prober = new Prober({
    upstreams: { caBundles: informers.caBundles.store, clusterDomain: options.clusterDomain },
    credentials: keys.probeCredentials,
    budget,
    lookup: async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
    observer: createProbeObserver(metrics.registry),
    monotonicMs: () => clock.nowMs(),
    tried: (server, tried) => problems.take(server, tried),
  });
  const ends = new EndRecorder({ client, log, now, monotonicMs: () => clock.nowMs() });
  const trials = new KeyTrials({
    ends,
    prober,
    client,
    audit,
    suspicion: new UpstreamSuspicion({ nowMs: () => clock.nowMs() }),
    now,
    random: Math.random,
  });
  const sources = {
    mcpServers: informers.mcpServers.store,
    userKeyPolicies: informers.userKeyPolicies.store,
    userKeys: informers.userKeys.store,
  };
  return {
    trials,
    problems,
    onProblem: (handler) => void handlers.push(handler),
    startSchedule: () =>
      startProbeSchedule({ sources, tenancy, keyStore: keys.keyStore, prober, trials, budget, clock, now, log }),
  };
}
