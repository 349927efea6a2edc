import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { canaryName, FreshView } from '#operator/keystore/fresh-view.ts';
import { isCanary, sealedSecretSelector, watchedSecretSelector } from '#operator/keystore/sealed-secret.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';
import { verifies } from '#test/requirements.ts';

import { keyNamespace } from './fixtures.ts';

const limits = { ageMsMax: 10_000, renewMs: 5_000, arrivalMsMax: 150 };

class World implements AsyncDisposable {
  readonly server: FaultApiServer;
  readonly client: KubeClient;
  readonly informer: Informer<Secret>;
  readonly view: FreshView;
  nowMs = 50_000;

  private constructor(server: FaultApiServer) {
    const transport = createTransport({ source: server.source, userAgent: 'fresh-view-test' });
    this.server = server;
    this.client = createKubeClient({ transport });
    const options = { namespace: keyNamespace, labelSelector: watchedSecretSelector };
    const timing = { backoff: { delayMsMin: 2, delayMsMax: 20, resetAfterMs: 1000 }, watchMsMin: 5 };
    this.informer = createInformer({ transport, type: secrets, options, timing });
    this.view = new FreshView({
      client: this.client,
      informer: this.informer,
      keyNamespace,
      bootId: 'boot',
      clock: { nowMs: () => this.nowMs, setTimer: realTimer },
      log: silentLog,
      limits,
    });
  }

  static async start(): Promise<World> {
    const world = new World(await FaultApiServer.start([secrets]));
    world.server.put(secrets, sealed('alice'));
    return world;
  }

  async follow(): Promise<void> {
    this.informer.start();
    await this.informer.synced();
    await eventually(() => this.server.requestsOf('watch').length > 0);
  }

  touches(): number {
    return this.server.requestsOf('update').length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.informer.close();
    await this.client.close();
    await this.server[Symbol.asyncDispose]();
  }
}

async function eventually(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(5);
}

function realTimer(callback: () => void, delayMs: number): { cancel: () => void } {
  const timer = setTimeout(callback, delayMs);
  return { cancel: () => clearTimeout(timer) };
}

function sealed(name: string): Secret {
  const labels = { 'mcpkeyring.io/managed': 'true' };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace: keyNamespace, name, labels }, type: 'Opaque' };
}

const stale = expect.objectContaining({ name: 'KeyStoreError', code: 'ViewStale' }) as Error;

describe('the cache of sealed keys', () => {
  test('counts as fresh once a change of our own came back through the watch', async () => {
    await using world = await World.start();
    await world.follow();
    await world.view.assure();
    expect(world.informer.store.get(keyNamespace, canaryName)).toBeDefined();
  });

  test('is not looked at again while it was looked at a moment ago, and not at all while nobody reads', async () => {
    await using world = await World.start();
    await world.follow();
    await world.view.assure();
    const touched = world.touches();
    world.nowMs += limits.renewMs - 1;
    await Promise.all([world.view.assure(), world.view.assure()]);
    await delay(30);
    expect(world.touches()).toBe(touched);
  });

  test('is looked at once for many readers', async () => {
    await using world = await World.start();
    await world.follow();
    await Promise.all(Array.from({ length: 50 }, () => world.view.assure()));
    expect(world.touches()).toBe(1);
  });

  test(verifies('keys:silent-watch'), async () => {
    await using world = await World.start();
    world.server.inject({ verb: 'watch', effect: { kind: 'silent' } });
    await world.follow();
    world.server.remove(secrets, { namespace: keyNamespace, name: 'alice' });
    expect(world.informer.store.get(keyNamespace, 'alice')).toBeDefined();
    await expect(world.view.assure()).rejects.toEqual(stale);
    // The view is made anew, not only refused.
    await expect.poll(() => world.informer.store.get(keyNamespace, 'alice')).toBeUndefined();
    await world.view.assure();
  });

  test('that was fresh a moment ago is used while it is looked at again, and refused when that failed for too long', async () => {
    await using world = await World.start();
    await world.follow();
    await world.view.assure();
    world.server.inject({ verb: 'update', times: 100, effect: { kind: 'hang' } });
    world.nowMs += limits.renewMs;
    await world.view.assure();
    world.nowMs += limits.ageMsMax;
    await expect(world.view.assure()).rejects.toThrow('no answer in time');
  });

  test('may be shown by the change of another replica', async () => {
    await using world = await World.start();
    await world.follow();
    const other = new FreshView({
      client: world.client,
      informer: world.informer,
      keyNamespace,
      bootId: 'other',
      clock: { nowMs: () => world.nowMs, setTimer: realTimer },
      log: silentLog,
      limits,
    });
    await expect(Promise.all([world.view.assure(), other.assure()])).resolves.toBeDefined();
  });

  test('holds the canary apart from keys', async () => {
    await using world = await World.start();
    await world.follow();
    await world.view.assure();
    const keys = await world.client.list(secrets, { namespace: keyNamespace, labelSelector: sealedSecretSelector });
    expect(keys.map(({ metadata }) => metadata.name)).toEqual(['alice']);
    expect(world.informer.store.list().filter((secret) => isCanary(secret))).toHaveLength(1);
  });
});
