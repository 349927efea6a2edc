import { Counter, Histogram, type Registry } from 'prom-client';

import type { ProbeObserver } from './prober.ts';

/** Labels come from closed sets: no user, policy or server is named. */
export function createProbeObserver(registry: Registry): ProbeObserver {
  const probes = new Counter({
    name: 'mcpkeyring_key_probes_total',
    help: 'Keys tried at their upstreams, by what was found out; verdict none: nothing',
    labelNames: ['kind', 'verdict', 'reason'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'mcpkeyring_key_probe_duration_seconds',
    help: 'Time that trying a key took, all requests of the probe together',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return {
    probed: ({ kind, finding, seconds }) => {
      probes.inc({ kind, verdict: finding.verdict ?? 'none', reason: finding.reason });
      if (kind !== 'none') duration.observe(seconds);
    },
  };
}
