import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ServerRef } from '#contract/lease.ts';
import { OutcomeReporter } from '#sidecar/outcomes/outcome-reporter.ts';
import type { FollowedServer, FollowingListener } from '#sidecar/followed-server.ts';
import { LeaseError } from '#sidecar/leases/lease-error.ts';
import { Limiter } from '#sidecar/limits/limiter.ts';
import { OpenServers, openServersLimits } from '#sidecar/gateway/open-servers.ts';

let nowMs = 0;
beforeEach(() => {
  nowMs = 0;
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

interface Follower {
  readonly server: ServerRef;
  readonly listener: FollowingListener;
  stopped: boolean;
}

/** Followers that say nothing by themselves. */
function setUp(limits: Partial<typeof openServersLimits> = {}) {
  const followers: Follower[] = [];
  const servers = new OpenServers<string>({
    follow: (server, listener): FollowedServer => {
      const follower: Follower = { server, listener, stopped: false };
      followers.push(follower);
      return {
        leases: {
          lease: () => Promise.reject(new Error('not asked for')),
          changed: async () => {},
          dropExpired: () => {},
          size: 0,
        },
        outcomes: new OutcomeReporter({ send: async () => {}, failed: () => {}, nowMs: () => nowMs }),
        limiter: new Limiter({ ask: () => Promise.reject(new Error('not asked for')), nowMs: () => nowMs }),
        policy: () => undefined,
        connected: () => true,
        start: () => {},
        stop: () => (follower.stopped = true),
      };
    },
    make: (server) => server.name,
    nowMs: () => nowMs,
    limits: { ...openServersLimits, ...limits },
  });
  return { servers, followers };
}

function ref(name: string): ServerRef {
  return { namespace: 'team-a', name };
}

const snapshot = { server: ref('a'), title: 'A', headers: [] };
const notFound = new LeaseError('ServerNotFound', 'the broker answered 404');

async function openOne({ servers, followers }: ReturnType<typeof setUp>, name: string) {
  const use = servers.use(ref(name), 'peer');
  followers.at(-1)?.listener.snapshot?.(snapshot);
  return use;
}

test('opens a server at its first request, and once for all who wait', async () => {
  const world = setUp();
  const uses = [world.servers.use(ref('a'), 'peer'), world.servers.use(ref('a'), 'peer')];
  world.followers[0]?.listener.snapshot?.(snapshot);
  expect((await Promise.all(uses)).map(({ value }) => value)).toEqual(['a', 'a']);
  expect((await world.servers.use(ref('a'), 'peer')).value).toBe('a');
  expect(world.followers).toHaveLength(1);
});

test('knows for a moment that a server does not exist, and asks again then', async () => {
  const { servers, followers } = setUp();
  const use = servers.use(ref('a'), 'peer');
  followers[0]?.listener.interrupted?.(notFound);
  await expect(use).rejects.toMatchObject({ code: 'PathNotFound' });
  await expect(servers.use(ref('a'), 'peer')).rejects.toMatchObject({ code: 'PathNotFound' });
  expect(followers).toMatchObject([{ stopped: true }]);
  nowMs = openServersLimits.unknownMsMax;
  void servers.use(ref('a'), 'peer').catch(() => {});
  expect(followers).toHaveLength(2);
});

test('remembers a bounded number of names that strangers make up', async () => {
  const { servers, followers } = setUp({ unknownMax: 10 });
  for (let index = 0; index < 50; index += 1) {
    const use = servers.use(ref(`n${index}`), 'peer');
    followers.at(-1)?.listener.interrupted?.(notFound);
    await expect(use).rejects.toMatchObject({ code: 'PathNotFound' });
  }
  expect(servers.size).toBe(0);
  expect(followers.every(({ stopped }) => stopped)).toBe(true);
});

test('gives up waiting for a broker that says nothing, and begins anew with the next request', async () => {
  const { servers, followers } = setUp();
  const use = Promise.allSettled([servers.use(ref('a'), 'peer')]);
  await vi.advanceTimersByTimeAsync(openServersLimits.openMsMax);
  expect(await use).toMatchObject([{ reason: { code: 'BrokerUnavailable' } }]);
  expect(followers[0]?.stopped).toBe(true);
  void servers.use(ref('a'), 'peer').catch(() => {});
  expect(followers).toHaveLength(2);
});

test('waits on when the stream breaks off for another reason', async () => {
  const { servers, followers } = setUp();
  const use = servers.use(ref('a'), 'peer');
  followers[0]?.listener.interrupted?.(new LeaseError('BrokerUnavailable', 'the broker answered 503'));
  followers[0]?.listener.snapshot?.(snapshot);
  expect((await use).value).toBe('a');
});

test('leaves places for others where somebody makes up names, and closes no server for them', async () => {
  const world = setUp({ openingMax: 4, openingPerPeerMax: 3, serversMax: 1 });
  (await openOne(world, 'real')).release();
  for (const name of ['a', 'b', 'c']) world.servers.use(ref(name), 'mallory').catch(() => {});
  await expect(world.servers.use(ref('d'), 'mallory')).rejects.toMatchObject({ code: 'Overloaded' });
  expect(world.followers[0]?.stopped).toBe(false);
  const other = world.servers.use(ref('other'), 'alice');
  world.followers.at(-1)?.listener.snapshot?.(snapshot);
  expect((await other).value).toBe('other');
});

test('opens only so many at a time', async () => {
  const { servers } = setUp({ openingMax: 2 });
  for (const name of ['a', 'b']) servers.use(ref(name), 'peer').catch(() => {});
  await expect(servers.use(ref('c'), 'peer')).rejects.toMatchObject({ code: 'Overloaded' });
});

test('closes what nobody used for long, and nothing that is in use', async () => {
  const world = setUp();
  const busy = await openOne(world, 'a');
  (await openOne(world, 'b')).release();
  nowMs = openServersLimits.idleMsMax;
  world.servers.closeIdle();
  expect(world.followers.map(({ stopped }) => stopped)).toEqual([false, true]);
  busy.release();
  world.servers.closeIdle();
  expect(world.servers.size).toBe(1);
  nowMs *= 2;
  world.servers.closeIdle();
  expect(world.servers.size).toBe(0);
});

test('makes room by closing the server that was not used for longest, and refuses when all are in use', async () => {
  const world = setUp({ serversMax: 2 });
  (await openOne(world, 'a')).release();
  nowMs = 1;
  (await openOne(world, 'b')).release();
  await openOne(world, 'c');
  expect(world.followers.map(({ stopped }) => stopped)).toEqual([true, false, false]);
  await world.servers.use(ref('b'), 'peer');
  await expect(openOne(world, 'd')).rejects.toMatchObject({ code: 'Overloaded' });
  expect(world.followers.at(-1)?.stopped).toBe(true);
});

test('lets go of a server that is deleted', async () => {
  const world = setUp();
  await openOne(world, 'a');
  world.followers[0]?.listener.interrupted?.(notFound);
  expect(world.servers.size).toBe(0);
  await expect(world.servers.use(ref('a'), 'peer')).rejects.toMatchObject({ code: 'PathNotFound' });
});

test('stops everything at the end', async () => {
  const world = setUp();
  await openOne(world, 'a');
  world.servers.closeAll();
  expect(world.followers).toMatchObject([{ stopped: true }]);
});
