import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { createLeaderLease, type LeaderLease, leaderTiming } from '#operator/kube/leader-lease.ts';
import { configMaps, type Lease, leases } from '#operator/kube/resources.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';
import { ManualClock, settle } from '#test/support/manual-clock.ts';

const place = { namespace: 'mcp-keyring', name: 'mcp-keyring-operator' };

/** One API server's view of the lease, without a network: candidates can be cut off from it one by one. */
class LeaseServer {
  lease: Lease | undefined;
  version = 0;
  readonly cutOff = new Set<string>();
  /** While set, writes happen and their answers are late. */
  late: Promise<void> | undefined;

  client(identity: string): KubeClient {
    const reach = (): void => {
      if (this.cutOff.has(identity)) throw new KubeError('Unavailable', 'cut off');
    };
    const store = (lease: object): Lease => {
      this.version += 1;
      const full = lease as Lease;
      this.lease = { ...full, metadata: { ...full.metadata, resourceVersion: String(this.version) } };
      return this.lease;
    };
    const calls: Partial<KubeClient> = {
      get: async () => {
        reach();
        return this.lease as never;
      },
      create: async (_type, object) => {
        reach();
        if (this.lease !== undefined) throw new KubeError('AlreadyExists', 'exists');
        return store(object) as never;
      },
      replace: async (_type, object) => {
        reach();
        if (this.lease?.metadata.resourceVersion !== object.metadata.resourceVersion)
          throw new KubeError('Conflict', 'changed');
        const answer = store(object);
        await this.late;
        return answer as never;
      },
    };
    return calls as KubeClient;
  }
}

function candidate(server: LeaseServer, clock: ManualClock, identity: string) {
  const seen = { elected: 0, lost: 0, signal: undefined as AbortSignal | undefined };
  const lease = createLeaderLease({
    client: server.client(identity),
    ...place,
    identity,
    clock,
    random: () => 0.5,
    onElected: (signal) => {
      seen.elected += 1;
      seen.signal = signal;
    },
    onLost: () => (seen.lost += 1),
  });
  lease.start();
  return { lease, seen };
}

describe('leader lease', () => {
  test('the first candidate leads, the second waits until the first has been silent for the whole lease', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const a = candidate(server, clock, 'a');
    await clock.advance(10);
    const b = candidate(server, clock, 'b');
    await clock.advance(60_000);
    expect([a.lease.isLeader, b.lease.isLeader]).toEqual([true, false]);
    server.cutOff.add('a');
    await clock.advance(12_100);
    expect([a.lease.isLeader, b.lease.isLeader]).toEqual([false, false]);
    await clock.advance(6000);
    expect([a.lease.isLeader, b.lease.isLeader]).toEqual([false, true]);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'b', leaseDurationSeconds: 15, leaseTransitions: 1 });
    await Promise.all([a.lease.stop(), b.lease.stop()]);
  });

  test('losing the lease takes the fence down, aborts the term, tells once, and there is no second term', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const { lease, seen } = candidate(server, clock, 'a');
    await clock.advance(10);
    expect(() => lease.assertLeader()).not.toThrow();
    server.cutOff.add('a');
    await clock.advance(12_000);
    expect(() => lease.assertLeader()).toThrow(KubeError);
    expect(seen).toMatchObject({ elected: 1, lost: 1 });
    expect(seen.signal?.aborted).toBe(true);
    server.cutOff.clear();
    await clock.advance(60_000);
    expect(seen).toMatchObject({ elected: 1, lost: 1 });
    expect(lease.isLeader).toBe(false);
    await lease.stop();
  });

  test('the fence is down after a pause of the process, before any timer had a chance to run', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const { lease, seen } = candidate(server, clock, 'a');
    await clock.advance(10);
    clock.stall(leaderTiming.renewDeadlineMs + 1);
    expect(() => lease.assertLeader()).toThrow('not the leader');
    await clock.advance(0);
    expect(seen.lost).toBe(1);
    await clock.advance(30_000);
    expect(lease.isLeader).toBe(false);
    await lease.stop();
  });

  test('an answer that comes after the deadline does not revive the term', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const { lease, seen } = candidate(server, clock, 'a');
    await clock.advance(10);
    const answered = Promise.withResolvers<void>();
    server.late = answered.promise;
    await clock.advance(11_000);
    expect(seen.lost).toBe(1);
    answered.resolve();
    await clock.advance(10);
    expect(lease.isLeader).toBe(false);
    await lease.stop();
  });

  test('times in the record do not matter: a record from the year 2000 or 2100 is waited for all the same', async () => {
    for (const renewTime of ['2000-01-01T00:00:00.000000Z', '2100-01-01T00:00:00.000000Z']) {
      const [server, clock] = [new LeaseServer(), new ManualClock()];
      const spec = {
        holderIdentity: 'other',
        leaseDurationSeconds: 15,
        renewTime,
        acquireTime: renewTime,
        leaseTransitions: 3,
      };
      await server.client('other').create(leases, { apiVersion: 'v1', kind: 'Lease', metadata: place, spec });
      const { lease } = candidate(server, clock, 'a');
      await clock.advance(14_000);
      expect(lease.isLeader).toBe(false);
      await clock.advance(4000);
      expect(lease.isLeader).toBe(true);
      await lease.stop();
    }
  });

  test('stopping gives the lease back, so that the next candidate need not wait for it to end', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const a = candidate(server, clock, 'a');
    await clock.advance(10);
    const b = candidate(server, clock, 'b');
    await clock.advance(3000);
    await a.lease.stop();
    expect(server.lease?.spec).toMatchObject({ holderIdentity: '', leaseDurationSeconds: 1 });
    expect(a.seen.lost).toBe(0);
    expect(a.lease.isLeader).toBe(false);
    await clock.advance(2500);
    expect(b.lease.isLeader).toBe(true);
    await b.lease.stop();
  });

  test('a record that somebody else only touched does not cost the leader its term', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const { lease, seen } = candidate(server, clock, 'a');
    await clock.advance(10);
    for (let round = 0; round < 10; round += 1) {
      const touched = {
        ...server.lease!,
        metadata: { ...server.lease!.metadata, annotations: { touched: String(round) } },
      };
      await server.client('kubectl').replace(leases, touched);
      await clock.advance(2500);
    }
    expect(lease.isLeader).toBe(true);
    expect(seen.lost).toBe(0);
    await lease.stop();
  });

  test('a record that another holder took over ends the term at once', async () => {
    const [server, clock] = [new LeaseServer(), new ManualClock()];
    const { lease, seen } = candidate(server, clock, 'a');
    await clock.advance(10);
    await server
      .client('thief')
      .replace(leases, { ...server.lease!, spec: { ...server.lease!.spec, holderIdentity: 'thief' } });
    await clock.advance(2500);
    expect(lease.isLeader).toBe(false);
    expect(seen.lost).toBe(1);
    await lease.stop();
  });
});

test('two candidates never both pass the fence, whoever is cut off, stalled or restarted when', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(8000) }),
    fc.record({ kind: fc.constant('stall' as const), ms: fc.nat(20_000) }),
    fc.record({ kind: fc.constantFrom('cut' as const, 'heal' as const, 'restart' as const), who: fc.nat(2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const [server, clock] = [new LeaseServer(), new ManualClock()];
      let lives = 0;
      const fresh = () => candidate(server, clock, `life${(lives += 1)}`);
      const candidates = [fresh(), fresh(), fresh()];
      const identities = ['life1', 'life2', 'life3'];
      const check = (): void => {
        const leaders = candidates.filter(({ lease }) => lease.isLeader);
        expect(leaders.length).toBeLessThanOrEqual(1);
      };
      for (const action of steps) {
        if (action.kind === 'advance') {
          for (let left = action.ms; left > 0; left -= 250) {
            await clock.advance(Math.min(left, 250));
            check();
          }
        } else if (action.kind === 'stall') {
          clock.stall(action.ms);
        } else if (action.kind === 'cut') {
          server.cutOff.add(identities[action.who]!);
        } else if (action.kind === 'heal') {
          server.cutOff.delete(identities[action.who]!);
        } else {
          // As after a kill: the old process gives nothing back.
          server.cutOff.add(identities[action.who]!);
          await candidates[action.who]!.lease.stop();
          candidates[action.who] = fresh();
          identities[action.who] = `life${lives}`;
        }
        check();
      }
      await Promise.all(candidates.map(({ lease }) => lease.stop()));
    }),
    { numRuns: 60 },
  );
}, 60_000);

describe('the fence in front of writes', () => {
  let server: FaultApiServer;
  let transport: Transport;
  let lease: LeaderLease;
  let clock: ManualClock;

  beforeEach(async () => {
    server = await FaultApiServer.start([leases, configMaps]);
    transport = createTransport({ source: server.source, userAgent: 'test' });
    clock = new ManualClock();
    lease = createLeaderLease({
      client: createKubeClient({ transport }),
      ...place,
      identity: 'a',
      clock,
      onElected: () => undefined,
      onLost: () => undefined,
    });
  });

  afterEach(async () => {
    await lease.stop();
    await transport.close();
    await server.close();
  });

  test('sends every kind of write while the lease is held, and none after the renew deadline', async () => {
    const client = createKubeClient({ transport, fence: () => lease.assertLeader() });
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'n', name: 'x' } };
    const ref = { namespace: 'n', name: 'x' };
    const writes: readonly (() => Promise<unknown>)[] = [
      () => client.create(configMaps, object),
      () => client.apply(configMaps, object, { fieldManager: 'test' }),
      () => client.mergePatch(configMaps, ref, { data: { a: 'b' } }),
      () => client.replace(configMaps, object),
      () => client.replaceRaw(configMaps, ref, Buffer.from(JSON.stringify(object))),
      () => client.delete(configMaps, ref),
    ];
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'NotLeader' });
    lease.start();
    await until(() => lease.isLeader);
    for (const write of writes) await write();
    clock.stall(leaderTiming.renewDeadlineMs);
    const sent = server.requests.length;
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'NotLeader' });
    expect(server.requests).toHaveLength(sent);
    expect(await client.get(configMaps, ref)).toBeUndefined();
  });

  test('stops the second attempt of a throttled write when the lease ran out in between', async () => {
    const client = createKubeClient({ transport, fence: () => lease.assertLeader() });
    lease.start();
    await until(() => lease.isLeader);
    server.inject({
      verb: 'create',
      plural: 'configmaps',
      effect: { kind: 'status', status: 429, retryAfterSeconds: 1 },
    });
    const write = client.create(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace: 'n', name: 'x' },
    });
    const outcome = write.catch((error: unknown) => error);
    await until(() => server.requestsOf('create', 'configmaps').length === 1);
    clock.stall(leaderTiming.renewDeadlineMs);
    expect(await outcome).toMatchObject({ code: 'NotLeader' });
    expect(server.requestsOf('create', 'configmaps')).toHaveLength(1);
  });

  async function until(condition: () => boolean): Promise<void> {
    for (let turn = 0; turn < 500 && !condition(); turn += 1) await new Promise((resolve) => setTimeout(resolve, 5));
    await settle();
    expect(condition()).toBe(true);
  }
});
