import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { InjectionSettings } from '#operator/admission/inject/sidecar-container.ts';
import { injectionConfigMapName, readInjectionSettings } from '#operator/admission/settings.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { decideServer } from '#operator/controllers/mcp-server/decide.ts';
import { KeyCounts } from '#operator/controllers/mcp-server/key-counts.ts';
import { observeServer, type ObservedServer } from '#operator/controllers/mcp-server/observe.ts';
import { watchServers } from '#operator/controllers/mcp-server/watch.ts';
import { askIssuer } from '#operator/controllers/organization/ask-issuer.ts';
import { decideOrganization } from '#operator/controllers/organization/decide.ts';
import { IssuerProber } from '#operator/controllers/organization/issuer-prober.ts';
import { observeOrganization } from '#operator/controllers/organization/observe.ts';
import { watchOrganizations } from '#operator/controllers/organization/watch.ts';
import {
  type Definition,
  type Reconciled,
  reconcileWith,
  type RunnerDependencies,
} from '#operator/controllers/runner.ts';
import type { Sources } from '#operator/controllers/sources.ts';
import { userKeyActions } from '#operator/controllers/user-key/act.ts';
import { decideUserKey } from '#operator/controllers/user-key/decide.ts';
import { observeUserKey } from '#operator/controllers/user-key/observe.ts';
import { watchUserKeys } from '#operator/controllers/user-key/watch.ts';
import { decidePolicy } from '#operator/controllers/user-key-policy/decide.ts';
import { observePolicy } from '#operator/controllers/user-key-policy/observe.ts';
import { watchPolicies } from '#operator/controllers/user-key-policy/watch.ts';
import { WrittenVersions } from '#operator/controllers/written-versions.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { type Controller, startController } from '#operator/kube/controller-runner.ts';
import type { EventRecorder } from '#operator/kube/event-recorder.ts';
import { mcpServers, organizations, userKeyPolicies, userKeys } from '#operator/kube/keyring-resources.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { brokerUrlOf } from './admission.ts';
import type { Platform } from './platform.ts';
import type { Validation } from './validation.ts';

export interface ControllersOptions {
  readonly platform: Platform;
  readonly sources: Sources;
  /** Fenced: nothing is written after leadership was lost. */
  readonly client: KubeClient;
  readonly recorder: Pick<EventRecorder, 'record'>;
  readonly tenancy: TenancyIndex;
  readonly keyStore: KeyStore;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly validation: Pick<Validation, 'problems' | 'onProblem'>;
  readonly referencedSecrets: ReferencedSecrets;
  readonly caBundle: () => string | undefined;
  readonly onCaBundleChange: (handler: () => void) => void;
  readonly kekId: () => string | undefined;
  readonly clusterIssuerURL: string | undefined;
}

export interface RunningControllers {
  /** Resolves when nothing is reconciled any more. */
  stop(): Promise<void>;
}

/** UserKeys are many and quick; the others few. */
const workersOf = { organization: 2, server: 4, userKey: 8, policy: 2 } as const;

/** Starts all four. Caches must be synced: what is decided from a half-filled cache would be wrong. */
export function startControllers(options: ControllersOptions): RunningControllers {
  const { platform, client, recorder } = options;
  const deps: Omit<RunnerDependencies, 'written'> = {
    client,
    now: () => new Date(),
    recordEvent: ({ apiVersion, kind, metadata }, { type, reason, note }) => {
      const { name, namespace, uid } = metadata;
      const place = { ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) };
      recorder.record({ regarding: { apiVersion, kind, name, ...place }, type, reason, action: 'Reconcile', note });
    },
  };
  const start: Start = (definition, workers) => {
    const written = new WrittenVersions(() => platform.clock.nowMs());
    return startController({
      name: definition.name,
      workers,
      reconcile: reconcileWith(definition, { ...deps, written }),
      log: platform.log,
      observer: platform.metrics.controller(definition.name),
      queueObserver: platform.metrics.workQueue(definition.name),
    });
  };
  const organization = startOrganization(options, start);
  const running = [startServers(options, start), startUserKeys(options, start), startPolicies(options, start)];
  return {
    stop: async () => {
      await Promise.all([...running.map((controller) => controller.stop()), organization.stop()]);
    },
  };
}

type Start = <T extends Reconciled, O extends { readonly object: T }, A>(
  definition: Definition<T, O, A>,
  workers: number,
) => Controller;

function enqueueTo(controller: Controller): (key: Parameters<Controller['enqueue']>[0], afterMs?: number) => void {
  return (key, afterMs) => (afterMs === undefined ? controller.enqueue(key) : controller.enqueueAfter(key, afterMs));
}

function startOrganization(options: ControllersOptions, start: Start): RunningControllers {
  const { sources, platform, caBundle, kekId, clusterIssuerURL } = options;
  const enqueueAll = (): void => {
    for (const { metadata } of sources.organizations.store.list()) controller.enqueue({ name: metadata.name });
  };
  const prober = new IssuerProber({ ask: askIssuer, nowMs: () => platform.clock.nowMs(), onResult: enqueueAll });
  const { namespace: operatorNamespace, excludedNamespaces } = platform.options;
  const observer = { sources, prober, operatorNamespace, excludedNamespaces, caBundle, kekId, clusterIssuerURL };
  const controller = start(
    {
      name: 'organization',
      type: organizations,
      announces: true,
      observe: (key) => observeOrganization(observer, key),
      decide: decideOrganization,
      act: async ({ issuer }) => prober.start(issuer),
    },
    workersOf.organization,
  );
  watchOrganizations(sources, enqueueTo(controller));
  options.onCaBundleChange(enqueueAll);
  return {
    stop: async () => {
      await controller.stop();
      await prober.close();
    },
  };
}

function startServers(options: ControllersOptions, start: Start): Controller {
  const { sources, platform, tenancy } = options;
  const keyCounts = new KeyCounts();
  const injection = (): InjectionSettings | undefined => {
    const configMap = sources.operatorConfigMaps.store.get(platform.options.namespace, injectionConfigMapName);
    const reading = readInjectionSettings(configMap, brokerUrlOf(platform.options));
    return reading.kind === 'settings' ? reading.settings : undefined;
  };
  const { namespace: operatorNamespace, gatewayUrl } = platform.options;
  const { referencedSecrets } = options;
  const sharedKeys = new SharedKeys(referencedSecrets);
  const observer = { sources, tenancy, keyCounts, sharedKeys, injection, operatorNamespace, gatewayUrl };
  const controller = start<McpServer, ObservedServer, never>(
    {
      name: 'mcp-server',
      type: mcpServers,
      announces: true,
      foreignStatusFields: ['sharedKey'],
      observe: (key) => observeServer(observer, key),
      decide: decideServer,
    },
    workersOf.server,
  );
  watchServers({ sources, keyCounts, referencedSecrets, enqueue: enqueueTo(controller) });
  return controller;
}

function startUserKeys(options: ControllersOptions, start: Start): Controller {
  const { sources, tenancy, keyStore, audit } = options;
  const controller = start(
    {
      name: 'user-key',
      type: userKeys,
      announces: false,
      foreignStatusFields: ['version', 'rejected', 'verification', 'approval'],
      observe: (key) => observeUserKey({ sources, tenancy, keyStore }, key),
      decide: decideUserKey,
      act: userKeyActions({ keyStore, audit, now: () => new Date() }),
    },
    workersOf.userKey,
  );
  watchUserKeys({ sources, keyStore, enqueue: enqueueTo(controller) });
  return controller;
}

function startPolicies({ sources, platform, validation }: ControllersOptions, start: Start): Controller {
  const { clusterDomain } = platform.options;
  const observer = { sources, problems: validation.problems, clusterDomain };
  const controller = start(
    {
      name: 'user-key-policy',
      type: userKeyPolicies,
      announces: false,
      observe: (key) => observePolicy(observer, key),
      decide: decidePolicy,
    },
    workersOf.policy,
  );
  watchPolicies(sources, enqueueTo(controller));
  validation.onProblem((policy) => controller.enqueue(policy));
  return controller;
}
