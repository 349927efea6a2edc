import { Gauge } from 'prom-client';

import { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Informers } from './informers.ts';
import type { Platform } from './platform.ts';

/** Every replica follows them, as each hands out leases. Caches must be synced. */
export function startReferencedSecrets(
  platform: Platform,
  sources: Informers,
  tenancy: TenancyIndex,
): ReferencedSecrets {
  const { transport, client, clock, log, options, metrics } = platform;
  const ownNamespaces = new Set([options.namespace, options.keyNamespace]);
  const referenced = new ReferencedSecrets({ sources, tenancy, ownNamespaces, transport, client, clock, log });
  const gauge: Gauge<'state'> = new Gauge({
    name: 'mcpkeyring_referenced_secrets',
    help: 'Secrets with keys of organizations that servers name, by what is known of them',
    labelNames: ['state'],
    registers: [metrics.registry],
    collect: () => {
      for (const [state, count] of Object.entries(referenced.counts())) gauge.set({ state }, count);
    },
  });
  referenced.start();
  return referenced;
}
