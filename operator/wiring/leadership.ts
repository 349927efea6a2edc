import { randomUUID } from 'node:crypto';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createLeaderLease } from '#operator/kube/leader-lease.ts';

import type { Platform } from './platform.ts';

const leaseName = 'mcp-keyring-operator';

export interface Leadership {
  readonly isLeader: boolean;
  /** Writes only while this replica leads. */
  readonly writer: KubeClient;
  /** Becomes a candidate. `onElected` is called at most once: who loses the lease exits. */
  stand(onElected: () => void): void;
  /** Gives the lease back; the leader's work must have ended. */
  stop(): Promise<void>;
}

export function prepareLeadership(platform: Platform, onLost: () => void): Leadership {
  const { client, transport, options, clock, log, metrics } = platform;
  let elected: (() => void) | undefined;
  const lease = createLeaderLease({
    client,
    namespace: options.namespace,
    name: leaseName,
    identity: `${options.podName}_${randomUUID()}`,
    onElected: () => elected?.(),
    onLost,
    clock,
    observer: metrics.leader(leaseName),
    log,
  });
  return {
    get isLeader() {
      return lease.isLeader;
    },
    writer: createKubeClient({ transport, fence: () => lease.assertLeader() }),
    stand(onElected) {
      elected = onElected;
      lease.start();
    },
    stop: () => lease.stop(),
  };
}
