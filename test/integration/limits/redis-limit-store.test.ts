import { afterEach, describe, expect, test } from 'vitest';

import { silentLog } from '#operator/kube/observers.ts';
import { RedisLimitStore } from '#operator/limits/redis-limit-store.ts';
import { verifies } from '#test/requirements.ts';
import { RedisServer } from '#test/support/redis-server.ts';
import { takeOf } from '#test/support/take-of.ts';

const stores: RedisLimitStore[] = [];

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

function replica({ port }: RedisServer, password = 'secret'): RedisLimitStore {
  const url = `redis://127.0.0.1:${port}/0`;
  const store = new RedisLimitStore({ url, password, nowUnixMs: Date.now, random: Math.random, log: silentLog });
  stores.push(store);
  return store;
}

/** Until it is connected. */
async function eventually(store: RedisLimitStore, user: string): Promise<number> {
  const untilMs = Date.now() + 10_000;
  for (;;) {
    try {
      return await takeOf(store, user, { max: 2, wanted: 1 });
    } catch (error) {
      if (Date.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('counts in Redis', () => {
  test(verifies('limits:redis'), async () => {
    await using redis = await RedisServer.start();
    const replicas = [replica(redis), replica(redis)];
    for (const store of replicas) await eventually(store, 'warm');
    const asking = Array.from({ length: 60 }, async (_, index) => {
      const store = replicas[index % 2];
      let sum = 0;
      for (let count = 0; count < 3; count += 1)
        sum += store === undefined ? 0 : await takeOf(store, `alice-${index % 10}`, { max: 10, wanted: 2 });
      return sum;
    });
    const sums = await Promise.all(asking);
    expect(sums.reduce((all, one) => all + one, 0)).toBe(100);
  });

  test('are there after it was killed, and nobody is let through by a store that is away', async () => {
    await using redis = await RedisServer.start();
    const store = replica(redis);
    expect(await eventually(store, 'bob')).toBe(1);
    expect(await eventually(store, 'bob')).toBe(1);
    await redis.kill();
    await expect(takeOf(store, 'bob', { max: 2, wanted: 1 })).rejects.toMatchObject({ code: 'Unavailable' });
    await redis.run();
    expect(await eventually(store, 'bob')).toBe(0);
  });

  test('are not kept by one that does not take the password', async () => {
    await using redis = await RedisServer.start();
    await expect(takeOf(replica(redis, 'wrong'), 'bob', { max: 2, wanted: 1 })).rejects.toMatchObject({
      code: 'Unavailable',
    });
  });
});
