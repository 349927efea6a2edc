import { createHash } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { secrets } from '#operator/kube/resources.ts';
import { ClusterLimitStore, shardCount } from '#operator/limits/cluster-limit-store.ts';
import { LimitStoreError } from '#operator/limits/limit-store.ts';
import { verifies } from '#test/requirements.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { takeOf } from '#test/support/take-of.ts';

const keyNamespace = 'mcp-keyring-keys';
let plane: ControlPlane;
const transports: Transport[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.kubectl(['create', 'namespace', keyNamespace]);
}, 120_000);

afterAll(async () => {
  for (const transport of transports) await transport.close();
  await plane[Symbol.asyncDispose]();
});

function clientOf(): KubeClient {
  const transport = createTransport({ source: plane.source, userAgent: 'test', log: silentLog });
  transports.push(transport);
  return createKubeClient({ transport });
}

function replica(client: Pick<KubeClient, 'get' | 'create' | 'replace'> = clientOf()): ClusterLimitStore {
  return new ClusterLimitStore({ client, keyNamespace, clock: systemClock, nowUnixMs: Date.now, random: Math.random });
}

describe('counts in the cluster', () => {
  test('of one organization take no room from another, however many there are', async () => {
    verifies('organizations:own-room');
    const store = replica();
    const long = (index: number): string => `${index}`.padEnd(500_000, '.');
    const shardOf = (key: string): number => createHash('sha256').update(key).digest().readUInt8(0) % shardCount;
    const first = long(0);
    const keys = Array.from({ length: 200 }, (_, index) => long(index + 1));
    const second = keys.find((key) => shardOf(key) === shardOf(first));
    if (second === undefined) throw new Error('no two keys of one shard');
    const take = (organization: string, key: string) => takeOf(store, { organization, key }, { max: 1, wanted: 1 });
    expect(await take('crowded', first)).toBe(1);
    await expect(take('crowded', second)).rejects.toMatchObject({ code: 'Full' });
    expect(await take('other', second)).toBe(1);
    expect(await take('crowded', first)).toBe(0);
    expect(await take('other', first).catch(() => 'no room')).toBe('no room');
  });

  test(
    verifies('limits:replicas'),
    async () => {
      const replicas = [replica(), replica()];
      const asking = replicas.flatMap((store) =>
        Array.from({ length: 60 }, async () => {
          let sum = 0;
          for (let count = 0; count < 3; count += 1)
            sum += await takeOf(store, 'team/server/alice', { max: 100, wanted: 3 });
          return sum;
        }),
      );
      const sums = await Promise.all(asking);
      expect(sums.reduce((all, one) => all + one, 0)).toBe(100);
    },
    60_000,
  );

  test(verifies('limits:restart'), async () => {
    const first = replica();
    expect(await takeOf(first, 'team/server/bob', { max: 3, wanted: 1 })).toBe(1);
    expect(await takeOf(first, 'team/server/bob', { max: 3, wanted: 1 })).toBe(1);
    // Nothing is told to the next one, as when the process was killed.
    const second = replica();
    expect(await takeOf(second, 'team/server/bob', { max: 3, wanted: 1 })).toBe(1);
    expect(await takeOf(second, 'team/server/bob', { max: 3, wanted: 1 })).toBe(0);
    expect(await takeOf(first, 'team/server/bob', { max: 3, wanted: 1 })).toBe(0);
  });

  test('are there again when somebody has deleted them, counted anew', async () => {
    const store = replica();
    await takeOf(store, 'team/server/carol', { max: 1, wanted: 1 });
    const client = clientOf();
    for (const { metadata } of await client.list(secrets, { namespace: keyNamespace }))
      await client.delete(secrets, { namespace: keyNamespace, name: metadata.name });
    expect(await takeOf(store, 'team/server/dave', { max: 1, wanted: 1 })).toBe(1);
  });

  test('are granted nothing while the API server does not answer', async () => {
    const gone = { get: () => Promise.reject(new Error('gone')), create: fail, replace: fail };
    await expect(takeOf(replica(gone), 'u', { max: 1, wanted: 1 })).rejects.toThrow(LimitStoreError);
  });

  test('of many users are written together', async () => {
    const client = clientOf();
    let writes = 0;
    const counted = {
      get: client.get.bind(client),
      create: client.create.bind(client),
      replace: (...given: Parameters<KubeClient['replace']>) => {
        writes += 1;
        return client.replace(...given);
      },
    } as Pick<KubeClient, 'get' | 'create' | 'replace'>;
    const store = replica(counted);
    await takeOf(store, 'warm', { max: 1, wanted: 1 });
    await Promise.all(Array.from({ length: 500 }, (_, user) => takeOf(store, `u-${user}`, { max: 1, wanted: 1 })));
    expect(writes).toBeLessThan(64);
  });
});

function fail(): Promise<never> {
  return Promise.reject(new Error('gone'));
}
