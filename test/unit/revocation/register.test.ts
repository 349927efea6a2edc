import { beforeEach, describe, expect, test } from 'vitest';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { registerRevocation, versionToRevoke } from '#operator/revocation/register.ts';
import { alice, github, userKeyOf } from '#test/support/broker-world.ts';

import { FakeCluster } from '../keystore/fake-cluster.ts';

const now = new Date('2026-11-25T10:00:00.000Z');
const nowMs = now.getTime();
const revoked = (version: number) => ({ version, at: now.toISOString(), by: 'root' });

describe('the version up to which is revoked', () => {
  test.each([
    ['all that was sealed until now', { version: 1 }, undefined, nowMs],
    ['also one of a replica whose clock was ahead', { version: nowMs + 5 }, undefined, nowMs + 5],
    ['also one that was sealed and is not on record yet', { version: nowMs + 5 }, nowMs + 6, nowMs + 6],
    ['never less than what was revoked before', { version: 1, revoked: revoked(nowMs + 9) }, undefined, nowMs + 9],
    ['not what a Secret claims that nobody of us has sealed', { version: 1 }, 9007199254740991, nowMs],
  ] as const)('is %s', (...[, status, stored, expected]) => {
    expect(versionToRevoke({ status }, stored, now)).toBe(expected);
  });
});

describe('the register', () => {
  let cluster: FakeCluster;
  let userKey: UserKey;
  let clock = now;
  const order = { actor: 'root', orderedAt: now, reason: 'leaked' };
  const revoke = (by = order) =>
    registerRevocation({ client: cluster.client, now: () => clock }, userKey, { order: by, stored: undefined });
  const later = (ms: number) => (clock = new Date(nowMs + ms));

  beforeEach(() => {
    clock = now;
    cluster = new FakeCluster();
    userKey = cluster.put(userKeys, userKeyOf(alice, github, { version: 1 }));
  });

  test('says who, when, why and up to which version', async () => {
    const expected = { version: nowMs, at: now.toISOString(), by: 'root', reason: 'leaked' };
    expect(await revoke()).toEqual(expected);
    const { namespace, name } = userKey.metadata;
    const recorded = await cluster.client.get(userKeys, { namespace: namespace!, name });
    expect(recorded?.status).toMatchObject({ version: 1, revoked: expected });
  });

  test('is written once for one order, so that a second attempt spares the key that was set since', async () => {
    const first = await revoke();
    later(60_000);
    expect(await revoke()).toEqual(first);
  });

  test('is written anew for another order', async () => {
    const first = await revoke();
    const at = later(60_000);
    expect((await revoke({ ...order, orderedAt: at }))!.version).toBeGreaterThan(first!.version);
    expect((await revoke({ ...order, actor: 'alice' }))!.by).toBe('alice');
  });

  test('of a UserKey that was made since is left alone', async () => {
    cluster.put(userKeys, { ...userKey, metadata: { ...userKey.metadata, uid: 'another' } });
    expect(await revoke()).toBeUndefined();
    expect(cluster.calls.filter((call) => call.startsWith('apply'))).toEqual([]);
  });
});
