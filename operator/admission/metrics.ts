import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

import type { AdmissionOutcome } from './admit.ts';

/** What the webhook server reports; the names are those of controller-runtime, so that existing dashboards show them. */
export interface AdmissionMetrics {
  started(): void;
  ended(sample: { readonly code: number; readonly seconds: number }): void;
  decided(outcome: AdmissionOutcome): void;
}

const webhook = '/inject';

/** Fine at the bottom: a decision takes far less than the 100 ms that other injectors begin to count at. */
const latencyBucketsSeconds = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export function admissionMetrics(registry: Registry): AdmissionMetrics {
  const registers = [registry];
  const latency = new Histogram({
    name: 'controller_runtime_webhook_latency_seconds',
    help: 'Histogram of the latency of processing admission requests',
    labelNames: ['webhook'],
    buckets: latencyBucketsSeconds,
    registers,
  });
  const requests = new Counter({
    name: 'controller_runtime_webhook_requests_total',
    help: 'Total number of admission requests by HTTP status code.',
    labelNames: ['webhook', 'code'],
    registers,
  });
  const inFlight = new Gauge({
    name: 'controller_runtime_webhook_requests_in_flight',
    help: 'Current number of admission requests being served.',
    labelNames: ['webhook'],
    registers,
  });
  const admissions = new Counter({
    name: 'mcpkeyring_admission_total',
    help: 'Pods looked at by the sidecar injector, by what became of them and why.',
    labelNames: ['result', 'reason'],
    registers,
  });
  return {
    started: () => inFlight.inc({ webhook }),
    ended({ code, seconds }) {
      inFlight.dec({ webhook });
      requests.inc({ webhook, code: String(code) });
      latency.observe({ webhook }, seconds);
    },
    decided: ({ result, reason }) => admissions.inc({ result, reason }),
  };
}
