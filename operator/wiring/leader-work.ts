import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createEventRecorder } from '#operator/kube/event-recorder.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Certificates } from './certificates.ts';
import { startControllers } from './controllers.ts';
import type { Informers } from './informers.ts';
import type { Keys } from './keys.ts';
import type { Platform } from './platform.ts';

export interface LeaderWorkOptions {
  readonly platform: Platform;
  readonly informers: Informers;
  /** Fenced. */
  readonly client: KubeClient;
  readonly tenancy: TenancyIndex;
  readonly keys: Keys;
  readonly audit: AuditLog;
  readonly certificates: Certificates;
}

export interface LeaderWork {
  stop(): Promise<void>;
}

/** Everything that only one replica does. */
export function startLeaderWork(options: LeaderWorkOptions): LeaderWork {
  const { platform, informers, client, tenancy, keys, audit, certificates } = options;
  const recorder = createEventRecorder({
    client,
    reportingController: 'mcpkeyring.io/operator',
    reportingInstance: platform.options.podName,
    log: platform.log,
  });
  const controllers = startControllers({
    platform,
    sources: informers,
    client,
    recorder,
    tenancy,
    keyStore: keys.keyStore,
    audit,
    caBundle: () => certificates.serving.caBundle(),
    onCaBundleChange: (handler) => certificates.serving.onBundleChange(handler),
    kekId: () => keys.keks.currentKid,
  });
  certificates.loop.wake();
  return {
    stop: async () => {
      await controllers.stop();
      await recorder.close();
    },
  };
}
