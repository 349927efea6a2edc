import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { LeaseCache } from '#sidecar/leases/lease-cache.ts';
import { LeaseError } from '#sidecar/leases/lease-error.ts';
import { userOf } from '#sidecar/proxy/sessions.ts';
import { type StreamLease, StreamLeases, streamLeaseLimits } from '#sidecar/proxy/stream-leases.ts';
import { verifies } from '#test/requirements.ts';
import { alice, granted, missing } from './world.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const ofAlice: StreamLease = {
  credential: 'alice',
  peer: 'peer',
  user: userOf(alice),
  subjectKey: 'abc',
  hasKey: true,
  keyVersion: 2,
};

function setUp() {
  const broker = { lease: granted as LeaseResponse | undefined, asked: 0 };
  const nowMs = (): number => Date.now();
  const leases = new LeaseCache({
    fetchLease: async () => {
      broker.asked += 1;
      if (broker.lease === undefined) throw new LeaseError('BrokerUnavailable', 'gone');
      return broker.lease;
    },
    isWatching: () => true,
    nowMs,
  });
  const streams = new StreamLeases({ leases, nowMs });
  const ends: string[] = [];
  const rules: unknown[] = [];
  const fate = { end: (why: string) => ends.push(why), goOn: (now: unknown) => rules.push(now) };
  const open = (lease: StreamLease = ofAlice) => streams.add(lease, fate);
  const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
  return { broker, leases, streams, ends, rules, open, pass };
}

test('an open stream goes on by what holds for its user now', async () => {
  vi.useFakeTimers();
  const { broker, leases, rules, ends, open, pass } = setUp();
  open();
  await pass();
  broker.lease = { ...granted, userRules: { tools: [{ deny: ['drop_*'] }] } };
  leases.invalidate('all');
  await pass();
  broker.lease = undefined;
  leases.invalidate('all');
  await pass(6_000);
  expect([rules.at(-1), ends]).toEqual([{ tools: [{ deny: ['drop_*'] }] }, []]);
});

const expiredToken: LeaseResponse = { decision: 'unauthenticated', reason: 'TokenExpired', message: '' };

describe('an open stream', () => {
  test.each<[LeaseResponse, readonly string[]]>([
    [{ ...granted, keyVersion: 3 }, []],
    [missing, ['keyMissing']],
    [{ ...missing, decision: 'invalid' }, ['keyMissing']],
    [expiredToken, ['unauthenticated']],
    [{ decision: 'denied', reason: 'NamespaceHasNoOrganization', message: '' }, ['denied']],
    [{ ...granted, subject: { ...alice, id: 'u-2' } }, ['unauthenticated']],
  ])('is judged when its lease is invalidated: %j ends it with %j', async (lease, due) => {
    const { broker, leases, ends, open, pass } = setUp();
    open();
    await pass();
    broker.lease = lease;
    leases.invalidate('somebody');
    await pass();
    expect(ends).toEqual([]);
    leases.invalidate('abc');
    await pass();
    expect(ends).toEqual(due);
  });

  test(verifies('rotation:overlap'), async () => {
    const { broker, leases, ends, open, pass } = setUp();
    open();
    await pass();
    broker.lease = { ...granted, keyVersion: 8 };
    leases.invalidate('abc');
    await pass(streamLeaseLimits.formerKeyMsMax - 1);
    open({ ...ofAlice, keyVersion: 8 });
    expect(ends).toEqual([]);
    await pass(1);
    expect(ends).toEqual(['keyMissing']);
    await pass(streamLeaseLimits.checkMsMax);
    expect(ends).toEqual(['keyMissing']);
  });

  test('of a key that was revoked ends at once, also where its user has set the next one before anybody asked', async () => {
    const { broker, leases, ends, open, pass } = setUp();
    open();
    open({ ...ofAlice, keyVersion: 9 });
    await pass();
    broker.lease = { ...granted, keyVersion: 9, revokedUpTo: 8 };
    leases.invalidate('abc');
    await pass();
    expect(ends).toEqual(['keyMissing']);
  });

  test('of a key that was revoked ends when the watch is back, where nobody was told in between', async () => {
    const { broker, leases, ends, open, pass } = setUp();
    open();
    await pass();
    broker.lease = { ...granted, keyVersion: 9, revokedUpTo: 8 };
    leases.recheckAll(0);
    await pass();
    expect(ends).toEqual(['keyMissing']);
  });

  test('that was opened without a key goes on without one, and ends with the login', async () => {
    const { broker, leases, ends, open, pass } = setUp();
    broker.lease = missing;
    open({ ...ofAlice, hasKey: false });
    await pass();
    leases.invalidate('all');
    await pass();
    expect(ends).toEqual([]);
    broker.lease = expiredToken;
    leases.invalidate('all');
    await pass();
    expect(ends).toEqual(['unauthenticated']);
  });

  test('ends soon after its credential, of which nobody says that it has ended', async () => {
    const { broker, ends, open, pass } = setUp();
    broker.lease = { ...granted, credentialMs: 600_000, ttlMs: 30_000 };
    open();
    await pass(600_000);
    expect([ends, broker.asked]).toEqual([[], 1]);
    broker.lease = expiredToken;
    await pass(streamLeaseLimits.afterEndMs);
    expect(ends).toEqual(['unauthenticated']);
  });

  test('whose key was deleted while the upstream thought does not begin to live', async () => {
    const { broker, ends, open, pass } = setUp();
    broker.lease = missing;
    open();
    await pass();
    expect(ends).toEqual(['keyMissing']);
  });

  test('is asked about once, however many there are of one credential', async () => {
    const { broker, leases, streams, ends, open, pass } = setUp();
    const closes = Array.from({ length: 100 }, () => open());
    await pass();
    expect(broker.asked).toBe(1);
    leases.invalidate('abc');
    await pass();
    expect(broker.asked).toBe(2);
    for (const close of closes.slice(1)) close();
    broker.lease = missing;
    leases.invalidate('abc');
    await pass();
    expect([broker.asked, ends, streams.size]).toEqual([3, ['keyMissing'], 0]);
  });

  test('lives through a broker that is away for a moment, and not for longer', async () => {
    const { broker, leases, ends, open, pass } = setUp();
    open();
    await pass();
    broker.lease = undefined;
    leases.invalidate('all');
    await pass(streamLeaseLimits.unknownMsMax - 1_000);
    expect(ends).toEqual([]);
    broker.lease = granted;
    await pass(streamLeaseLimits.checkMsMin);
    broker.lease = undefined;
    leases.invalidate('all');
    await pass(streamLeaseLimits.unknownMsMax + streamLeaseLimits.checkMsMin);
    expect(ends).toEqual(['brokerUnavailable']);
  });

  test('takes few places when all have to be judged at once', async () => {
    let running = 0;
    let most = 0;
    const leases = {
      lease: async () => {
        most = Math.max(most, (running += 1));
        await new Promise((resolve) => setTimeout(resolve, 10));
        running -= 1;
        return missing;
      },
      changed: (_subjectKey: string, signal: AbortSignal) =>
        new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
    };
    const streams = new StreamLeases({ leases, nowMs: () => Date.now() });
    const ends: string[] = [];
    for (let user = 0; user < 200; user += 1) {
      streams.add({ ...ofAlice, credential: `c-${user}` }, { end: (why) => ends.push(why), goOn: () => {} });
    }
    await vi.advanceTimersByTimeAsync(1_000);
    expect([most, ends.length, streams.size]).toEqual([streamLeaseLimits.checksMax, 200, 0]);
  });
});
