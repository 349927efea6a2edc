import { Gauge, type Registry } from 'prom-client';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Store } from '#operator/kube/informer.ts';

import { type OrphanSources, orphansIn } from './orphans.ts';

export interface KeyMetricSources extends OrphanSources {
  readonly userKeys: Pick<Store<UserKey>, 'get' | 'list'>;
}

/** Counted from the caches when somebody looks. Every replica says the same: take the maximum, not the sum. No user has a label. */
export function registerKeyMetrics(registry: Registry, sources: KeyMetricSources): void {
  registry.registerMetric(
    new Gauge({
      name: 'mcpkeyring_user_keys',
      help: 'User keys by server and state.',
      labelNames: ['namespace', 'server', 'state'],
      registers: [],
      collect() {
        this.reset();
        for (const { metadata, spec, status } of sources.userKeys.list()) {
          const { namespace = '' } = metadata;
          this.inc({ namespace, server: spec.serverRef.name, state: status?.state ?? 'Unknown' });
        }
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'mcpkeyring_orphaned_sealed_keys',
      help: 'Sealed keys without a UserKey; nobody can use them.',
      registers: [],
      collect() {
        this.set(orphansIn(sources).length);
      },
    }),
  );
}
