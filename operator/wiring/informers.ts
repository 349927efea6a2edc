import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import { adminsBindingName, caConfigMapName, group, labels } from '#crds/v1alpha1/names.ts';
import { webhookConfigurationName } from '#operator/certificates/keeper.ts';
import { tlsSecretName } from '#operator/certificates/tls-state.ts';
import type { Sources } from '#operator/controllers/sources.ts';
import type { ListOptions } from '#operator/kube/client.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { kekSecretName } from '#operator/keystore/kek-store.ts';
import { watchedSecretSelector } from '#operator/keystore/sealed-secret.ts';
import {
  accessTokens,
  mcpServers,
  organizations,
  userKeyPolicies,
  userKeyRequests,
  userKeys,
} from '#operator/kube/keyring-resources.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import {
  configMaps,
  deployments,
  endpointSlices,
  type MutatingWebhookConfiguration,
  type PartialObjectMetadata,
  mutatingWebhookConfigurations,
  namespaces,
  networkPolicies,
  podMetadata,
  roleBindings,
  type Secret,
  secrets,
  services,
} from '#operator/kube/resources.ts';

import type { Platform } from './platform.ts';

/** Every cache of this process. */
export interface Informers extends Sources {
  /** The operator's own namespace; metadata only. */
  readonly gatewayPods: Informer<PartialObjectMetadata>;
  readonly userKeyRequests: Informer<UserKeyRequest>;
  readonly accessTokens: Informer<AccessToken>;
  readonly tlsSecret: Informer<Secret>;
  /** Metadata only: that it changed. Its content is read as bytes. */
  readonly kekSecret: Informer<KubeObject>;
  readonly sealedSecrets: Informer<Secret>;
  readonly webhooks: Informer<MutatingWebhookConfiguration>;
  start(): void;
  /** Resolves when each one has its first list. */
  synced(signal: AbortSignal): Promise<void>;
  readonly unsynced: readonly string[];
  close(): Promise<void>;
}

/** A pod that has ended serves nobody and may ask for nothing, until it is removed hours later. */
const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

/** The endpoint controller copies the labels of a Service to its slices. */
const managed: ListOptions = { labelSelector: `${labels.managed}=true` };

/**
 * Each one asks for as little as its readers need. Secrets and ConfigMaps are asked for by name, so that the RBAC rule can name
 * them; of other people's pods only metadata of those with a server's or an agent's label is ever seen.
 */
export function createInformers(platform: Platform): Informers {
  const { namespace, keyNamespace } = platform.options;
  const make = new Maker(platform);
  const sources = {
    organizations: make.informer('organizations', { type: organizations }),
    namespaces: make.informer('namespaces', { type: namespaces, transform: withoutAnnotations }),
    mcpServers: make.informer('mcpservers', { type: mcpServers }),
    userKeyPolicies: make.informer('userkeypolicies', { type: userKeyPolicies }),
    userKeys: make.informer('userkeys', { type: userKeys }),
    userKeyRequests: make.informer('userkeyrequests', { type: userKeyRequests }),
    accessTokens: make.informer('accesstokens', { type: accessTokens }),
    pods: make.informer('pods', {
      type: podMetadata,
      options: { labelSelector: labels.server, fieldSelector: unfinished, metadataOnly: true },
      transform: podOutline,
    }),
    agentPods: make.informer('pods-agents', {
      type: podMetadata,
      options: { labelSelector: labels.agent, fieldSelector: unfinished, metadataOnly: true },
      transform: podOutline,
    }),
    gatewayPods: make.informer('pods-gateways', {
      type: podMetadata,
      options: { namespace, labelSelector: `${labels.gateway}=true`, fieldSelector: unfinished, metadataOnly: true },
      transform: podOutline,
    }),
    services: make.informer('services', { type: services, options: managed }),
    endpointSlices: make.informer('endpointslices', { type: endpointSlices, options: managed }),
    networkPolicies: make.informer('networkpolicies', { type: networkPolicies, options: managed }),
    deployments: make.informer('deployments', { type: deployments, options: managed }),
    caConfigMaps: make.informer('configmaps-ca', { type: configMaps, options: named(caConfigMapName) }),
    adminBindings: make.informer('rolebindings', { type: roleBindings, options: named(adminsBindingName) }),
    caBundles: make.informer('configmaps-ca-bundles', {
      type: configMaps,
      options: { labelSelector: `${labels.caBundle}=true` },
    }),
    operatorConfigMaps: make.informer('configmaps-operator', { type: configMaps, options: { namespace } }),
    tlsSecret: make.informer('secrets-tls', { type: secrets, options: { namespace, ...named(tlsSecretName) } }),
    kekSecret: make.informer('secrets-kek', {
      type: secrets,
      options: { namespace, ...named(kekSecretName), metadataOnly: true },
    }),
    sealedSecrets: make.informer('secrets-sealed', {
      type: secrets,
      options: { namespace: keyNamespace, labelSelector: watchedSecretSelector },
    }),
    webhooks: make.informer('webhooks', {
      type: mutatingWebhookConfigurations,
      options: named(webhookConfigurationName),
    }),
  };
  return {
    ...sources,
    start: () => make.all.forEach(({ informer }) => informer.start()),
    synced: async (signal) => void (await Promise.all(make.all.map(({ informer }) => informer.synced(signal)))),
    get unsynced() {
      return make.all.filter(({ informer }) => !informer.hasSynced).map(({ name }) => name);
    },
    close: async () => void (await Promise.all(make.all.map(({ informer }) => informer.close()))),
  };
}

interface Wanted<T extends KubeObject> {
  readonly type: ResourceType<T>;
  readonly options?: ListOptions;
  readonly transform?: (object: T) => T;
}

type Lifecycle = Pick<Informer<KubeObject>, 'start' | 'synced' | 'hasSynced' | 'close'>;

class Maker {
  readonly all: { readonly name: string; readonly informer: Lifecycle }[] = [];
  readonly #platform: Platform;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** `name` is for metrics; two informers of one resource have two. */
  informer<T extends KubeObject>(name: string, wanted: Wanted<T>): Informer<T> {
    const { transport, metrics, log } = this.#platform;
    const informer = createInformer<T>({ ...wanted, transport, log, observer: metrics.informer(name) });
    this.all.push({ name, informer });
    return informer;
  }
}

function named(name: string): ListOptions {
  return { fieldSelector: `metadata.name=${name}` };
}

function withoutAnnotations<T extends KubeObject>(object: T): T {
  return { ...object, metadata: { ...object.metadata, annotations: undefined, managedFields: undefined } };
}

/** What the controllers and the broker read of a pod: of its annotations only our own. */
function podOutline(pod: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, deletionTimestamp } = pod.metadata;
  const own = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) => key.startsWith(`${group}/`));
  const metadata = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(pod.metadata.labels === undefined ? {} : { labels: pod.metadata.labels }),
    annotations: Object.fromEntries(own),
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}
