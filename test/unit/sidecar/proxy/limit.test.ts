import { describe, expect, test } from 'vitest';

import type { LeaseResponse } from '#contract/lease.ts';
import type { LimitRule } from '#contract/quota.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import type { LimitVerdict } from '#sidecar/limits/limiter.ts';
import { verifies } from '#test/requirements.ts';
import { granted, jsonOf, policy, rpc, world } from './world.ts';

const requests: LimitRule = { bucket: 'p/Minute', per: 'Minute', max: 60 };
const creating: LimitRule = { bucket: 'p/Minute/create_*', per: 'Minute', max: 5, match: 'create_*' };

function limitedWorld(
  verdict: LimitVerdict,
  onStoreFailure: 'Open' | 'Closed' = 'Open',
  lease: LeaseResponse = granted,
) {
  const taken: (readonly string[])[] = [];
  const limited: PolicySnapshot = { ...policy, limits: { rules: [requests, creating], onStoreFailure } };
  const take = (_subject: string, rules: readonly LimitRule[]): LimitVerdict => {
    taken.push(rules.map(({ bucket }) => bucket));
    return verdict;
  };
  return { taken, ...world({ policy: () => limited, limiter: { take }, lease }) };
}

const spent: LimitVerdict = { kind: 'limited', rule: requests, retryMs: 1_500 };

describe('a request over its limit', () => {
  test(verifies('limits:answer'), async () => {
    const { send, forwarded, events } = limitedWorld(spent);
    const response = await send({ body: rpc('tools/call', { name: 'create_it' }, 'call-1') });
    expect(response.status).toBe(200);
    expect(response.headers.get('retry-after')).toBe('2');
    expect(await jsonOf(response)).toMatchObject({
      id: 'call-1',
      error: { code: 1429, data: { retryAfter: 2, retryAfterMs: 1_500, limit: { per: 'Minute', max: 60 } } },
    });
    expect(forwarded).toHaveLength(0);
    expect(events).toMatchObject([{ decision: 'limited' }]);
  });

  test.each(['initialize', 'ping', 'server/discover'])('%s is free', async (method) => {
    const { send, taken, forwarded } = limitedWorld(spent);
    await send({ body: rpc(method, {}) });
    expect([taken.length, forwarded.length]).toEqual([0, 1]);
  });
});

describe('what counts', () => {
  test('is counted by the limits of its user too, and nobody passes uncounted where one of them is Closed', async () => {
    const own: LimitRule = { bucket: 'own/Day', per: 'Day', max: 3 };
    const lease: LeaseResponse = {
      ...granted,
      userRules: { limits: { rules: [own], onStoreFailure: 'Closed' } },
    };
    const { send, taken } = limitedWorld({ kind: 'granted' }, 'Open', lease);
    await send({ body: rpc('tools/call', { name: 'create_it' }) });
    expect(taken).toEqual([[requests.bucket, creating.bucket, own.bucket]]);
    const uncounted = limitedWorld({ kind: 'unknown' }, 'Open', lease);
    const response = await uncounted.send({ body: rpc('tools/list', {}) });
    expect(await jsonOf(response)).toMatchObject({ error: { code: expect.any(Number) } });
    expect(uncounted.forwarded).toHaveLength(0);
  });

  test('is every request, and for limits of tools the calls that match', async () => {
    const { send, taken } = limitedWorld({ kind: 'granted' });
    await send({ body: rpc('tools/list', {}) });
    await send({ body: rpc('tools/call', { name: 'create_it' }) });
    await send({ body: rpc('tools/call', { name: 'search' }) });
    expect(taken).toEqual([[requests.bucket], [requests.bucket, creating.bucket], [requests.bucket]]);
  });

  test('is no call without an id that a server may take for one all the same: it is refused', async () => {
    const { send, forwarded } = limitedWorld({ kind: 'granted' });
    const body = JSON.stringify({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'create_it' } });
    expect((await send({ body })).status).toBe(400);
    expect(forwarded).toHaveLength(0);
  });
});

test('a key that the operator tries is no use of any user, and is not counted', async () => {
  const { send, taken, forwarded } = limitedWorld(spent, 'Open', { ...granted, subjectKey: 'probe-a', probe: true });
  await send({ body: rpc('tools/call', { name: 'create_it' }) });
  expect([taken.length, forwarded.length]).toEqual([0, 1]);
});

describe('while nobody can count', () => {
  test(verifies('limits:store-failure'), async () => {
    const open = limitedWorld({ kind: 'unknown' }, 'Open');
    expect((await open.send()).status).toBe(200);
    expect(open.forwarded).toHaveLength(1);
    const closed = limitedWorld({ kind: 'unknown' }, 'Closed');
    expect(await jsonOf(await closed.send())).toMatchObject({ error: { code: 1507, data: { retryAfter: 1 } } });
    expect(closed.forwarded).toHaveLength(0);
  });
});
