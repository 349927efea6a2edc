import type { McpServer, McpServerKeys } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { gatewayName, labels, serviceName } from '#crds/v1alpha1/names.ts';
import type { InjectionSettings } from '#operator/admission/inject/sidecar-container.ts';
import type { Deployment, NetworkPolicy, PartialObjectMetadata, Service } from '#operator/kube/resources.ts';
import { remoteCaBundle } from '#operator/policy/server-upstream.ts';
import { bind, policiesOf } from '#operator/policy/bound-policies.ts';
import { effectiveHeaders } from '#operator/policy/effective-headers.ts';
import type { KeyProblem } from '#operator/shared-keys/key-problem.ts';
import { type KeyUse, keyUse } from '#operator/shared-keys/key-use.ts';
import type { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import type { Tenancy, TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { RequestKey } from '#operator/kube/request-key.ts';
import type { Sources } from '../sources.ts';
import type { KeyCounts } from './key-counts.ts';
import { readyPodsIn, serviceNameLabel } from './ready-pods.ts';

/** What an McpServer is decided from. */
export interface ObservedServer {
  readonly object: McpServer;
  readonly tenancy: Tenancy;
  /** Those that are for this server. */
  readonly policies: readonly UserKeyPolicy[];
  readonly keys: Required<McpServerKeys>;
  readonly pods: readonly PartialObjectMetadata[];
  /** What sidecars are made from now; undefined: the ConfigMap is missing or wrong. */
  readonly injection: InjectionSettings | undefined;
  /** Names of the pods that the Service leads to: running, and ready. */
  readonly readyPods: ReadonlySet<string>;
  readonly service: Service | undefined;
  readonly networkPolicy: NetworkPolicy | undefined;
  readonly deployment: Deployment | undefined;
  readonly operatorNamespace: string;
  /** Undefined: none is installed. */
  readonly gateway: ObservedGateway | undefined;
  /** Whose keys requests carry; undefined: the namespace has no organization. */
  readonly keyUse: KeyUse | undefined;
  /** Only where requests may carry the key of the organization. */
  readonly sharedKey: ObservedSharedKey | undefined;
  /** Only where the server names one. */
  readonly discoveryKey: Pick<ObservedSharedKey, 'secret' | 'problem'> | undefined;
  /** The certificates that `upstream.remote.caBundleRef` names; undefined: it names none, or they are not there. */
  readonly caBundle: string | undefined;
}

export interface ObservedSharedKey {
  /** Name of the Secret. */
  readonly secret: string;
  /** Undefined: it can be used. */
  readonly problem: KeyProblem | undefined;
  /** Undefined: nothing is known of it. */
  readonly version: number | undefined;
}

/** What serves remote servers. */
export interface ObservedGateway {
  /** What its clients put before the path of a server. */
  readonly url: string;
  /** Whether one of its pods takes requests. */
  readonly ready: boolean;
}

export interface ServerObserver {
  readonly sources: Sources;
  readonly tenancy: TenancyIndex;
  readonly keyCounts: KeyCounts;
  readonly sharedKeys: Pick<SharedKeys, 'problemOf' | 'versionOf'>;
  readonly injection: () => InjectionSettings | undefined;
  readonly operatorNamespace: string;
  /** Undefined: there is no gateway. */
  readonly gatewayUrl: string | undefined;
}

/** Reads caches only. */
export function observeServer(from: ServerObserver, key: RequestKey): ObservedServer | undefined {
  const { namespace = '', name } = key;
  const { sources } = from;
  const object = sources.mcpServers.store.get(namespace, name);
  if (object === undefined) return undefined;
  const tenancy = from.tenancy.organizationOf(namespace);
  const use = tenancy.kind === 'organization' ? keyUse(object, tenancy.plan) : undefined;
  const policies = policiesOf(object, sources.userKeyPolicies.store.listNamespace(namespace));
  return {
    object,
    tenancy,
    policies,
    keyUse: use,
    sharedKey: observeSharedKey(from, { object, use, policies }),
    discoveryKey: observeDiscoveryKey(from, { object, use, policies }),
    keys: from.keyCounts.of({ namespace, name }),
    pods: sources.pods.store
      .listNamespace(namespace)
      .filter(({ metadata }) => metadata.labels?.[labels.server] === name),
    injection: from.injection(),
    readyPods: readyPodsIn(
      sources.endpointSlices.store
        .listNamespace(namespace)
        .filter(({ metadata }) => metadata.labels?.[serviceNameLabel] === serviceName(name)),
    ),
    service: sources.services.store.get(namespace, serviceName(name)),
    networkPolicy: sources.networkPolicies.store.get(namespace, serviceName(name)),
    deployment: sources.deployments.store.get(namespace, serviceName(name)),
    operatorNamespace: from.operatorNamespace,
    gateway: observeGateway(from),
    caBundle: remoteCaBundle(object, sources.caBundles.store),
  };
}

function observeSharedKey(
  { sharedKeys }: ServerObserver,
  { object, use, policies }: { object: McpServer; use: KeyUse | undefined; policies: readonly UserKeyPolicy[] },
): ObservedSharedKey | undefined {
  const secret = object.spec.authentication.sharedKeySecretRef?.name;
  if (secret === undefined || (use !== 'shared' && use !== 'ownOrShared')) return undefined;
  const headers = effectiveHeaders(bind(object, policies, { kind: 'everyUser' }));
  const problem = sharedKeys.problemOf({ server: object, headers }, 'shared');
  return { secret, problem, version: sharedKeys.versionOf(object) };
}

function observeDiscoveryKey(
  { sharedKeys }: ServerObserver,
  { object, use, policies }: { object: McpServer; use: KeyUse | undefined; policies: readonly UserKeyPolicy[] },
): Pick<ObservedSharedKey, 'secret' | 'problem'> | undefined {
  const secret = object.spec.authentication.discoveryKeySecretRef?.name;
  if (secret === undefined || use === undefined) return undefined;
  const headers = effectiveHeaders(bind(object, policies, { kind: 'everyUser' }));
  return { secret, problem: sharedKeys.problemOf({ server: object, headers }, 'discovery') };
}

function observeGateway({ sources, operatorNamespace, gatewayUrl }: ServerObserver): ObservedGateway | undefined {
  if (gatewayUrl === undefined) return undefined;
  const slices = sources.endpointSlices.store
    .listNamespace(operatorNamespace)
    .filter(({ metadata }) => metadata.labels?.[serviceNameLabel] === gatewayName);
  return { url: gatewayUrl, ready: readyPodsIn(slices).size > 0 };
}
