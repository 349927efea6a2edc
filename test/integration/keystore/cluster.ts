import { randomUUID } from 'node:crypto';

import { systemRandomness } from '#operator/envelope/randomness.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { openIndexKey } from '#operator/keystore/index-key.ts';
import { FreshView } from '#operator/keystore/fresh-view.ts';
import { kekSecretName, LocalKekStore } from '#operator/keystore/kek-store.ts';
import { SealedKeyStore } from '#operator/keystore/sealed-key-store.ts';
import { sealedSecretSelector, watchedSecretSelector } from '#operator/keystore/sealed-secret.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';

export const operatorNamespace = 'mcp-keyring';
export const keyNamespace = 'mcp-keyring-keys';

/** What the chart makes before the operator starts, as far as keys are concerned. */
export async function installKeyPlaces(plane: ControlPlane): Promise<void> {
  for (const namespace of [operatorNamespace, keyNamespace]) await plane.kubectl(['create', 'namespace', namespace]);
  for (const part of ['kek', 'index', 'intake']) {
    await plane.kubectl(['create', 'secret', 'generic', `mcp-keyring-${part}`, '-n', operatorNamespace]);
  }
}

/** The key store of one operator replica, wired as the operator wires it. */
export class Replica implements AsyncDisposable {
  readonly transport: Transport;
  readonly client: KubeClient;
  readonly keks: LocalKekStore;
  readonly store: SealedKeyStore;
  readonly #informers: Informer<KubeObject>[];

  private constructor(
    parts: Pick<Replica, 'transport' | 'client' | 'keks' | 'store'>,
    informers: Informer<KubeObject>[],
  ) {
    this.transport = parts.transport;
    this.client = parts.client;
    this.keks = parts.keks;
    this.store = parts.store;
    this.#informers = informers;
  }

  static async start(plane: Pick<ControlPlane, 'source'>, clusterUid = 'cluster-uid'): Promise<Replica> {
    const transport = createTransport({ source: plane.source, userAgent: 'keystore-test' });
    const client = createKubeClient({ transport });
    const list = { namespace: keyNamespace, labelSelector: sealedSecretSelector };
    const hasSealedKeys = async () => (await client.list(secrets, list)).length > 0;
    const common = { client, namespace: operatorNamespace, hasSealedKeys, randomness: systemRandomness };
    const keks = await LocalKekStore.open({ ...common, monotonicMs: () => performance.now(), log: silentLog });
    const indexKey = await openIndexKey(common);
    const informer: Informer<Secret> = createInformer({
      transport,
      type: secrets,
      options: { namespace: keyNamespace, labelSelector: watchedSecretSelector },
    });
    const options = {
      namespace: operatorNamespace,
      fieldSelector: `metadata.name=${kekSecretName}`,
      metadataOnly: true,
    };
    const kekInformer: Informer<KubeObject> = createInformer({ transport, type: secrets, options });
    const replica = {
      client,
      informer,
      view: new FreshView({
        client,
        informer,
        keyNamespace,
        bootId: randomUUID(),
        clock: systemClock,
        log: silentLog,
      }),
      keyNamespace,
      clusterUid,
      indexKey,
      keks,
      randomness: systemRandomness,
      now: () => new Date(),
    };
    keks.follow(kekInformer);
    for (const one of [informer, kekInformer]) one.start();
    await Promise.all([informer.synced(), kekInformer.synced()]);
    return new Replica({ transport, client, keks, store: new SealedKeyStore(replica) }, [informer, kekInformer]);
  }

  async informerOf<T extends KubeObject>(type: ResourceType<T>): Promise<Informer<T>> {
    const informer = createInformer({ transport: this.transport, type });
    this.#informers.push(informer);
    informer.start();
    await informer.synced();
    return informer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.close()));
    await this.client.close();
  }
}
