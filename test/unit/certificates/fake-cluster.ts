import type { CertificateMetrics } from '#operator/certificates/metrics.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { Change, Informer } from '#operator/kube/informer.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { ConfigMap, MutatingWebhookConfiguration, Secret } from '#operator/kube/resources.ts';
import type { KubeClient, NewObject } from '#operator/kube/client.ts';
import { ObjectStore } from '#operator/kube/store.ts';

export const operatorNamespace = 'mcp-keyring';

type CacheName = 'secrets' | 'webhooks' | 'caConfigMaps';

/** The objects that matter to certificates, with versions; caches show them when they are told to. */
export class FakeCluster {
  #version = 1;
  secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'mcp-keyring-tls', namespace: operatorNamespace, uid: 'secret', resourceVersion: '1' },
  };
  webhook: MutatingWebhookConfiguration = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'mcp-keyring-inject', uid: 'webhook', resourceVersion: '1' },
    webhooks: [{ name: 'inject.mcpkeyring.io', clientConfig: { service: { name: 'mcp-keyring-webhook' } } }],
  };
  caConfigMap: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'mcp-keyring-ca', namespace: 'team-a', uid: 'ca', resourceVersion: '1' },
    data: {},
  };
  /** The one in the operator's own namespace. */
  homeConfigMap: ConfigMap | undefined;
  readonly writes: string[] = [];

  readonly client: Pick<KubeClient, 'replace' | 'apply'> = {
    replace: async <T extends KubeObject>(_type: ResourceType<T>, object: T): Promise<T> => {
      if (object.metadata.resourceVersion !== this.secret.metadata.resourceVersion)
        throw new KubeError('Conflict', 'conflict');
      this.secret = this.#next(object);
      this.writes.push('secret');
      return this.secret as unknown as T;
    },
    apply: async <T extends KubeObject>(_type: ResourceType<T>, object: NewObject<T>): Promise<T> => {
      if (object.kind === 'ConfigMap') return this.#applyHome(object as unknown as ConfigMap) as unknown as T;
      const applied = (object as unknown as MutatingWebhookConfiguration).webhooks ?? [];
      const webhooks = (this.webhook.webhooks ?? []).map((webhook) => {
        const caBundle = applied.find(({ name }) => name === webhook.name)?.clientConfig.caBundle;
        return {
          ...webhook,
          clientConfig: { ...webhook.clientConfig, ...(caBundle === undefined ? {} : { caBundle }) },
        };
      });
      this.webhook = this.#next({ ...this.webhook, webhooks });
      this.writes.push('webhook');
      return this.webhook as unknown as T;
    },
  };

  #applyHome(object: ConfigMap): ConfigMap {
    this.homeConfigMap = this.#next({ ...object, metadata: { ...object.metadata, uid: 'home' } });
    this.writes.push('configMap');
    return this.homeConfigMap;
  }

  /** As the Organization controller does. */
  publishConfigMap(bundle: string): void {
    this.caConfigMap = this.#next({ ...this.caConfigMap, data: { 'ca.crt': bundle } });
  }

  #next<T extends KubeObject>(object: T): T {
    this.#version += 1;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
  }
}

/** One replica's caches of a cluster. */
export class FakeCaches {
  readonly #cluster: FakeCluster;
  readonly secrets = new FakeInformer<Secret>();
  readonly webhooks = new FakeInformer<MutatingWebhookConfiguration>();
  readonly caConfigMaps = new FakeInformer<ConfigMap>();

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
    this.catchUp();
  }

  catchUp(...names: readonly CacheName[]): void {
    const wanted = names.length === 0 ? (['secrets', 'webhooks', 'caConfigMaps'] as const) : names;
    if (wanted.includes('secrets')) this.secrets.show(this.#cluster.secret);
    if (wanted.includes('webhooks')) this.webhooks.show(this.#cluster.webhook);
    if (wanted.includes('caConfigMaps')) this.caConfigMaps.show(this.#cluster.caConfigMap);
    const home = this.#cluster.homeConfigMap;
    if (wanted.includes('caConfigMaps') && home !== undefined) this.caConfigMaps.show(home);
  }
}

class FakeInformer<T extends KubeObject> implements Pick<Informer<T>, 'store' | 'hasSynced' | 'onChange'> {
  readonly store = new ObjectStore<T>();
  hasSynced = false;
  readonly #handlers: ((change: Change<T>) => void)[] = [];

  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
    for (const object of this.store.list()) handler({ kind: 'added', object });
  }

  show(object: T): void {
    this.hasSynced = true;
    for (const change of this.store.upsert(object)) for (const handler of this.#handlers) handler(change);
  }
}

export const silentMetrics: CertificateMetrics = { served: () => undefined, changed: () => undefined };
