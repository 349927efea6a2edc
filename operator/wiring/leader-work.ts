import type { AuditLog } from '#operator/audit/audit-log.ts';
import { startTokenLife } from '#operator/access-tokens/token-life.ts';
import { TokenOrders } from '#operator/access-tokens/token-orders.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { startIntake } from '#operator/intake/start.ts';
import type { Identity } from '#operator/identity/create-identity.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createEventRecorder } from '#operator/kube/event-recorder.ts';
import { AccessReviews } from '#operator/rights/access-reviews.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Certificates } from './certificates.ts';
import { startControllers } from './controllers.ts';
import type { Informers } from './informers.ts';
import type { Keys } from './keys.ts';
import type { Platform } from './platform.ts';
import { createValidation } from './validation.ts';

export interface LeaderWorkOptions {
  readonly platform: Platform;
  readonly informers: Informers;
  /** Fenced. */
  readonly client: KubeClient;
  readonly tenancy: TenancyIndex;
  readonly clusterIssuerURL: string | undefined;
  readonly keys: Keys;
  readonly identity: Identity;
  readonly audit: AuditLog;
  readonly certificates: Certificates;
  readonly referencedSecrets: ReferencedSecrets;
}

export interface LeaderWork {
  stop(): Promise<void>;
}

/** Everything that only one replica does. */
export function startLeaderWork(options: LeaderWorkOptions): LeaderWork {
  const { platform, informers, client, tenancy, keys, identity, audit, certificates } = options;
  const recorder = createEventRecorder({
    client,
    reportingController: 'mcpkeyring.io/operator',
    reportingInstance: platform.options.podName,
    log: platform.log,
  });
  const validation = createValidation({ platform, informers, client, tenancy, keys, audit });
  const controllers = startControllers({
    platform,
    sources: informers,
    client,
    recorder,
    tenancy,
    keyStore: keys.keyStore,
    audit,
    validation,
    referencedSecrets: options.referencedSecrets,
    caBundle: () => certificates.serving.caBundle(),
    onCaBundleChange: (handler) => certificates.serving.onBundleChange(handler),
    clusterIssuerURL: options.clusterIssuerURL,
    kekId: () => keys.keks.currentKid,
  });
  const intake = startIntake({
    client,
    operatorNamespace: platform.options.namespace,
    randomness: systemRandomness,
    requestInformer: informers.userKeyRequests,
    sources: {
      mcpServers: informers.mcpServers.store,
      userKeyPolicies: informers.userKeyPolicies.store,
      userKeys: informers.userKeys.store,
    },
    tenancy,
    identifier: identity.users,
    rights: new AccessReviews(client),
    keyStore: keys.keyStore,
    fingerprintKeyOf: keys.fingerprintKeyOf,
    trials: validation.trials,
    tokenOrders: new TokenOrders({ client, tokens: informers.accessTokens.store, audit, now: () => new Date() }),
    audit,
    now: () => new Date(),
    log: platform.log,
    clock: platform.clock,
    controllerObserver: platform.metrics.controller('user-key-request'),
    queueObserver: platform.metrics.workQueue('user-key-request'),
  });
  const tokenLife = startTokenLife({
    client,
    tokens: informers.accessTokens,
    audit,
    log: platform.log,
    now: () => new Date(),
    controllerObserver: platform.metrics.controller('access-token'),
    queueObserver: platform.metrics.workQueue('access-token'),
  });
  const schedule = validation.startSchedule();
  certificates.loop.wake();
  return {
    stop: async () => {
      await Promise.all([intake.stop(), controllers.stop(), schedule.stop(), tokenLife.stop()]);
      await recorder.close();
    },
  };
}
