import { expect, test, vi } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { peerCallsMax, strangerCallsMax } from '#sidecar/leases/call-places.ts';
import {
  LeaseCache,
  type LeaseCacheOptions,
  refreshRetryMs,
  refusalTtlMsMax,
  strangerEntriesMax,
} from '#sidecar/leases/lease-cache.ts';
import { LeaseError } from '#sidecar/leases/lease-error.ts';

const subject = { issuer: 'i', id: 'u', name: 'n' };

function granted(key: string, user = 'alice', ttlMs = 30_000): LeaseResponse {
  return {
    decision: 'granted',
    leaseId: 'l',
    subject,
    subjectKey: user,
    headers: [{ name: 'X-A', value: key }],
    keyVersion: 1,
    ttlMs,
  };
}

function missing(user = 'alice', ttlMs = 30_000): LeaseResponse {
  return { decision: 'missing', subject, subjectKey: user, hints: [], message: '', ttlMs };
}

function set(options: Partial<LeaseCacheOptions> = {}) {
  const time = { ms: 0 };
  const watching = { is: true };
  const answers: LeaseResponse[] = [];
  const fetchLease = vi.fn<(credential: string) => Promise<LeaseResponse>>(
    async () => answers.shift() ?? granted('default'),
  );
  const cache = new LeaseCache({ fetchLease, isWatching: () => watching.is, nowMs: () => time.ms, ...options });
  return { cache, time, watching, answers, fetchLease };
}

function keyIn(response: LeaseResponse): string | undefined {
  return response.decision === 'granted' ? response.headers[0]?.value : undefined;
}

/** Lets background calls settle. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('keeps a lease until its end, which counts from the question', async () => {
  const { cache, time, fetchLease, answers } = set();
  fetchLease.mockImplementationOnce(async () => {
    time.ms += 5_000;
    return granted('one', 'alice', 10_000);
  });
  await cache.lease('c');
  time.ms = 6_000;
  expect(keyIn(await cache.lease('c'))).toBe('one');
  expect(fetchLease).toHaveBeenCalledTimes(1);
  answers.push(granted('two'));
  time.ms = 10_000;
  expect(keyIn(await cache.lease('c'))).toBe('two');
});

test('never keeps one for longer than thirty seconds, nor a refusal for two', async () => {
  const { cache, time, answers, fetchLease } = set();
  answers.push(missing('alice'));
  await cache.lease('c');
  time.ms = refusalTtlMsMax - 1;
  expect((await cache.lease('c')).decision).toBe('missing');
  time.ms = refusalTtlMsMax;
  await cache.lease('c');
  expect(fetchLease).toHaveBeenCalledTimes(2);
  expect(refusalTtlMsMax).toBeLessThan(2_000);
});

test.each<[LeaseResponse, number]>([
  [{ decision: 'unauthenticated', reason: 'TokenExpired', message: '' }, 1],
  [{ decision: 'unauthenticated', reason: 'IssuerUnavailable', message: '' }, 2],
  [{ decision: 'denied', reason: 'ServerNotFound', message: '' }, 1],
  [{ decision: 'denied', reason: 'AuditUnavailable', message: '' }, 2],
  [missing('alice', 0), 2],
])('asks about %j, twice in a moment, %i times', async (answer, times) => {
  const { cache, answers, fetchLease } = set();
  answers.push(answer, answer);
  await cache.lease('c');
  await cache.lease('c');
  expect(fetchLease).toHaveBeenCalledTimes(times);
});

test('tells credentials apart, and asks once for many requests of one', async () => {
  const { cache, fetchLease } = set();
  await Promise.all([cache.lease('a'), cache.lease('a'), cache.lease('b'), cache.lease('a')]);
  expect(fetchLease.mock.calls).toEqual([['a'], ['b']]);
});

test('renews at two thirds, in the background', async () => {
  const { cache, time, answers, fetchLease } = set();
  answers.push(granted('one'), granted('two'));
  await cache.lease('c');
  time.ms = 19_999;
  await cache.lease('c');
  expect(fetchLease).toHaveBeenCalledTimes(1);
  time.ms = 20_000;
  expect(keyIn(await cache.lease('c'))).toBe('one');
  await settle();
  expect(keyIn(await cache.lease('c'))).toBe('two');
  expect(fetchLease).toHaveBeenCalledTimes(2);
});

test('uses a lease to its end while it cannot be renewed, trying again now and then', async () => {
  const { cache, time, fetchLease } = set();
  await cache.lease('c');
  fetchLease.mockRejectedValue(new LeaseError('BrokerUnavailable', 'gone'));
  for (time.ms = 20_000; time.ms < 30_000; time.ms += 100) {
    expect(keyIn(await cache.lease('c'))).toBe('default');
    await settle();
  }
  expect(fetchLease).toHaveBeenCalledTimes(1 + 10_000 / refreshRetryMs);
  await expect(cache.lease('c')).rejects.toThrow('gone');
});

test('a renewal that says no ends the lease', async () => {
  const { cache, time, answers } = set();
  answers.push(granted('one'), missing());
  await cache.lease('c');
  time.ms = 25_000;
  await cache.lease('c');
  await settle();
  expect((await cache.lease('c')).decision).toBe('missing');
});

test('an invalidation ends the leases and the refusals of its subject, and of nobody else', async () => {
  const { cache, answers, fetchLease } = set();
  answers.push(granted('a', 'alice'), missing('alice'), granted('b', 'bob'));
  await cache.lease('alice-1');
  await cache.lease('alice-2');
  await cache.lease('bob');
  cache.invalidate('alice');
  expect(cache.size).toBe(1);
  await cache.lease('bob');
  expect(fetchLease).toHaveBeenCalledTimes(3);
  cache.invalidate('all');
  expect(cache.size).toBe(0);
});

test('an answer that was invalidated on its way is asked for again', async () => {
  const { cache, fetchLease } = set();
  fetchLease.mockImplementationOnce(async () => {
    cache.invalidate('alice');
    return granted('old');
  });
  expect(keyIn(await cache.lease('c'))).toBe('default');
  fetchLease.mockImplementationOnce(async () => {
    cache.invalidate('bob');
    return granted('unconcerned');
  });
  expect(keyIn(await cache.lease('d'))).toBe('unconcerned');
});

test('gives up on an answer that is invalidated each time', async () => {
  const { cache, fetchLease } = set();
  fetchLease.mockImplementation(async () => {
    cache.invalidate('all');
    return granted('old');
  });
  await expect(cache.lease('c')).rejects.toThrow(LeaseError);
  expect(cache.size).toBe(0);
});

test('gives nothing while nobody watches, and does not keep an answer that came then', async () => {
  const { cache, watching, fetchLease } = set();
  await cache.lease('c');
  watching.is = false;
  await expect(cache.lease('c')).rejects.toMatchObject({ code: 'NotWatching' });
  watching.is = true;
  fetchLease.mockImplementationOnce(async () => {
    watching.is = false;
    return granted('late');
  });
  await expect(cache.lease('d')).rejects.toMatchObject({ code: 'NotWatching' });
  watching.is = true;
  expect(keyIn(await cache.lease('d'))).toBe('default');
});

test('after a gap a lease is renewed within the grace or gone', async () => {
  const { cache, time, answers, fetchLease } = set();
  answers.push(granted('one'), granted('two'));
  await cache.lease('c');
  cache.recheckAll(1_000);
  expect(keyIn(await cache.lease('c'))).toBe('one');
  await settle();
  time.ms = 1_500;
  expect(keyIn(await cache.lease('c'))).toBe('two');
  expect(fetchLease).toHaveBeenCalledTimes(2);
  cache.recheckAll(1_000);
  fetchLease.mockRejectedValue(new LeaseError('BrokerUnavailable', 'gone'));
  time.ms = 2_500;
  await expect(cache.lease('c')).rejects.toThrow('gone');
});

test('forgets the longest unused when it is full', async () => {
  const { cache, fetchLease } = set({ entriesMax: () => 2 });
  await cache.lease('a');
  await cache.lease('b');
  await cache.lease('a');
  await cache.lease('c');
  expect(cache.size).toBe(2);
  await cache.lease('a');
  expect(fetchLease).toHaveBeenCalledTimes(3);
  await cache.lease('b');
  expect(fetchLease).toHaveBeenCalledTimes(4);
});

test('lets go of more when it may hold less', async () => {
  let entriesMax = 3;
  const { cache } = set({ entriesMax: () => entriesMax });
  for (const credential of ['a', 'b', 'c']) await cache.lease(credential);
  entriesMax = 1;
  await cache.lease('d');
  expect(cache.size).toBe(1);
});

test('forgets what has ended when it is told to', async () => {
  const { cache, time } = set({ fetchLease: async (credential) => granted('k', 'u', credential === 'a' ? 100 : 200) });
  await cache.lease('a');
  await cache.lease('b');
  time.ms = 150;
  cache.dropExpired();
  expect(cache.size).toBe(1);
});

const nobody: LeaseResponse = { decision: 'unauthenticated', reason: 'SignatureInvalid', message: '' };

test('asks no more at a time than it may', async () => {
  const { cache } = set({ fetchLease: () => new Promise(() => {}) });
  for (let peer = 0; peer < strangerCallsMax; peer += 1) void cache.lease(`c${peer}`, `peer-${peer}`);
  await expect(cache.lease('one-more', 'new-peer')).rejects.toMatchObject({ code: 'TooManyCalls' });
});

test('lets nobody who guesses from one address take the places of others, and gives them back', async () => {
  const waiting: PromiseWithResolvers<LeaseResponse>[] = [];
  const { cache } = set({
    fetchLease: (credential) => {
      if (credential === 'bob') return Promise.resolve(granted('k', 'bob'));
      waiting.push(Promise.withResolvers());
      return waiting.at(-1)!.promise;
    },
  });
  const guesses = Array.from({ length: peerCallsMax }, (_item, index) => cache.lease(`junk-${index}`, 'mallory'));
  await settle();
  await expect(cache.lease('junk', 'mallory')).rejects.toMatchObject({ code: 'TooManyCalls' });
  expect(keyIn(await cache.lease('bob', 'elsewhere'))).toBe('k');
  for (const { resolve } of waiting) resolve(nobody);
  for (const guess of guesses) await guess;
  void cache.lease('junk', 'mallory');
  await settle();
  expect(waiting).toHaveLength(peerCallsMax + 1);
});

test('asks for a user who was here before though strangers have all of their places', async () => {
  const { cache, time } = set({
    fetchLease: (credential) =>
      credential === 'alice' ? Promise.resolve(granted('k')) : new Promise<LeaseResponse>(() => {}),
  });
  await cache.lease('alice', 'ingress');
  time.ms = 31_000;
  for (let guess = 0; guess < strangerCallsMax + 10; guess += 1)
    Promise.resolve(cache.lease(`junk-${guess}`, `${guess}`)).catch(() => {});
  for (let guess = 0; guess < peerCallsMax; guess += 1)
    Promise.resolve(cache.lease(`more-${guess}`, 'ingress')).catch(() => {});
  expect(keyIn(await cache.lease('alice', 'ingress'))).toBe('k');
});

test('forgets no lease for refusals of nobody, of which it keeps a bounded number', async () => {
  const asked: string[] = [];
  const { cache } = set({
    fetchLease: async (credential) => {
      asked.push(credential);
      return credential === 'alice' ? granted('k') : nobody;
    },
    entriesMax: () => 4,
  });
  await cache.lease('alice');
  for (let guess = 0; guess < strangerEntriesMax + 100; guess += 1) await cache.lease(`junk-${guess}`);
  expect(cache.size).toBe(strangerEntriesMax + 1);
  expect(keyIn(await cache.lease('alice'))).toBe('k');
  expect(asked.filter((credential) => credential === 'alice')).toHaveLength(1);
});
