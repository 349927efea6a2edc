import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

import type { CertificateDecision } from './decide.ts';

export interface CertificateMetrics {
  served(sample: { readonly leafNotAfterMs: number; readonly caNotAfterMs: number }): void;
  changed(kind: CertificateDecision['kind']): void;
}

export function certificateMetrics(registry: Registry): CertificateMetrics {
  const registers = [registry];
  const leafNotAfter = new Gauge({
    name: 'mcpkeyring_webhook_cert_not_after_seconds',
    help: 'When the serving certificate of webhook and broker ends, seconds since 1970.',
    registers,
  });
  const caNotAfter = new Gauge({
    name: 'mcpkeyring_ca_cert_not_after_seconds',
    help: 'When the CA that signs serving certificates ends, seconds since 1970.',
    registers,
  });
  const changes = new Counter({
    name: 'mcpkeyring_certificate_changes_total',
    help: 'Steps in the life of the CA and the serving certificate that this replica took.',
    labelNames: ['kind'],
    registers,
  });
  return {
    served({ leafNotAfterMs, caNotAfterMs }) {
      leafNotAfter.set(leafNotAfterMs / 1_000);
      caNotAfter.set(caNotAfterMs / 1_000);
    },
    changed: (kind) => changes.inc({ kind }),
  };
}
