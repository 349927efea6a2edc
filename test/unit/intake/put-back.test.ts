import { describe, expect, test } from 'vitest';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { decideOpening } from '#operator/broker/lease.ts';
import { effectivePolicy } from '#operator/policy/effective-policy.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyAddress } from '#operator/keystore/key-store.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { type Secret, secrets } from '#operator/kube/resources.ts';

import { registerRevocation, type RegisterOptions } from '#operator/revocation/register.ts';
import { verifies } from '#test/requirements.ts';

import { textOf } from '../keystore/fixtures.ts';
import { github, jira, namespace, testIntake } from './fixtures.ts';

/** Somebody may write Secrets in the key namespace, and has a copy of what lay there before a user deleted their key. */

type World = Awaited<ReturnType<typeof testIntake>>;

const alice = { issuer: 'kubernetes', id: 'alice', name: 'alice' };
const set = (name: string) => ({ v: 1, operation: 'set', server: name }) as const;
const remove = (name: string) => ({ v: 1, operation: 'delete', server: name }) as const;

function addressOf(name: string): KeyAddress {
  return { organization: 'default', server: { namespace, name }, serverUid: `uid-of-${name}`, subject: alice };
}

function sealedIn({ cluster }: World): Secret {
  const found = [...cluster.objects.values()].find(({ metadata }) => metadata.namespace === 'mcp-keyring-keys');
  if (found === undefined) throw new Error('nothing is sealed');
  return found;
}

/** What the broker would hand out now. */
async function handedOut(world: World, server: typeof github) {
  const address = addressOf(server.metadata.name);
  const userKey = world.informers.userKeys.store.get(namespace, world.store.userKeyNameOf(address));
  const opening = decideOpening({
    userKey: userKey as UserKey | undefined,
    server,
    subject: alice,
    policy: effectivePolicy(server, [], { subject: alice, groups: [] }),
    nowMs: Date.now(),
  });
  if (opening.kind !== 'open') return opening.kind;
  try {
    using opened = await world.store.open(address, opening.versionMin);
    return opened === undefined ? 'nothing' : textOf(opened.headers);
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** A world in which alice has deleted a key, a second ago, and somebody has its Secret. */
async function afterDelete(server: string, values: Readonly<Record<string, string>>) {
  const world = await testIntake();
  await world.ask(set(server), values);
  const before = sealedIn(world);
  await world.ask(remove(server));
  world.clock.now = new Date(world.clock.now.getTime() + 1_000);
  return { world, putBack: () => world.cluster.put(secrets, before) };
}

describe('a Secret from before a delete', () => {
  test('is not handed out while there is no UserKey', async () => {
    const { world, putBack } = await afterDelete('github', { Authorization: 'ghp_leaked' });
    putBack();
    expect(await handedOut(world, github)).toBe('nothingStored');
  });

  test('is not handed out after another key was set', async () => {
    const { world, putBack } = await afterDelete('github', { Authorization: 'ghp_leaked' });
    await world.ask(set('github'), { Authorization: 'ghp_fresh' });
    expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_fresh' });
    putBack();
    expect(await handedOut(world, github)).toBe('RolledBack');
    expect(await world.ask({ v: 1, operation: 'list' })).toMatchObject({ keys: [{ state: 'Missing' }, {}, {}] });
    await world.ask(set('github'), { Authorization: 'ghp_again' });
    expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_again' });
  });

  test.each([
    ['once, before each write of setting another key', (write: number, moment: number) => write === moment],
    ['before every write from one on', (write: number, moment: number) => write >= moment && write < 10],
  ])('is not handed out when it is put back %s', async (_, isDue) => {
    for (let moment = 0; moment < 6; moment += 1) {
      const { world, putBack } = await afterDelete('github', { Authorization: 'ghp_leaked' });
      const seen: string[] = [];
      world.cluster.beforeCall = async (call) => {
        if (call.startsWith('get ')) return;
        if (isDue(seen.length, moment)) putBack();
        seen.push(JSON.stringify(await handedOut(world, github)));
      };
      const { request } = world.send(set('github'), { Authorization: 'ghp_fresh' });
      for (let attempts = 0; world.stored(request)?.status === undefined && attempts < 20; attempts += 1) {
        await world.handle(request).catch((error: { code: string }) => expect(error.code).toBe('WriteConflict'));
      }
      expect(world.stored(request)?.status?.completedAt).toBeDefined();
      putBack();
      seen.push(JSON.stringify(await handedOut(world, github)));
      expect(seen.length).toBeGreaterThan(4);
      expect(seen.join()).not.toContain('ghp_leaked');
    }
  });

  test('gives none of its headers to the key that is set next', async () => {
    const { world, putBack } = await afterDelete('jira', { 'X-Jira-Email': 'a@example.com', 'X-Jira-Token': 'leaked' });
    putBack();
    const answer = await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com' });
    expect(answer).toMatchObject({
      key: { state: 'NeedsUpdate' },
      notices: [expect.stringContaining('only what you gave')],
    });
    expect(await handedOut(world, jira)).toEqual({ 'X-Jira-Email': 'a@example.com' });
  });

  test('is not handed out when setting another key fails half-way', async () => {
    for (const failing of ['create secrets', 'applyStatus']) {
      const { world, putBack } = await afterDelete('github', { Authorization: 'ghp_leaked' });
      world.cluster.beforeCall = (call) => {
        if (call.startsWith(failing)) throw new KubeError('Unavailable', 'no answer');
      };
      const { request } = world.send(set('github'), { Authorization: 'ghp_fresh' });
      await expect(world.handle(request)).rejects.toMatchObject({ code: 'Unavailable' });
      putBack();
      expect(await handedOut(world, github)).toBe('nothingStored');
      world.cluster.beforeCall = () => {};
      await world.handle(request);
      expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_fresh' });
    }
  });

  test('keeps nobody from setting a key by naming a KEK that does not exist', async () => {
    const { world, putBack } = await afterDelete('github', { Authorization: 'ghp_leaked' });
    putBack();
    const open = world.store.open.bind(world.store);
    world.store.open = () => Promise.reject(new KeyStoreError('KekMissing'));
    expect(await world.ask(set('github'), { Authorization: 'ghp_fresh' })).toMatchObject({ outcome: 'ok' });
    world.store.open = open;
    expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_fresh' });
  });
});

/** A world in which alice has a key, which is revoked a second later, and somebody has its Secret. */
async function afterRevocation(server: string, values: Readonly<Record<string, string>>) {
  const world = await testIntake();
  const { client } = world.deps;
  await world.ask(set(server), values);
  const before = sealedIn(world);
  world.clock.now = new Date(world.clock.now.getTime() + 1_000);
  const [userKey] = world.informers.userKeys.store.list() as UserKey[];
  const order = { actor: 'root', orderedAt: world.clock.now, reason: undefined };
  const writer = { client, now: () => world.clock.now } as RegisterOptions;
  await registerRevocation(writer, userKey!, { order, stored: undefined });
  await world.store.destroy(addressOf(server));
  return { world, putBack: () => world.cluster.put(secrets, before) };
}

describe('a Secret from before a revocation', () => {
  test(verifies('revocation:version'), async () => {
    const { world, putBack } = await afterRevocation('github', { Authorization: 'ghp_leaked' });
    expect(await handedOut(world, github)).toBe('refused');
    putBack();
    expect(await handedOut(world, github)).toBe('refused');
    await world.ask(set('github'), { Authorization: 'ghp_fresh' });
    expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_fresh' });
    putBack();
    expect(await handedOut(world, github)).toBe('RolledBack');
  });

  test('is refused by the store itself, where the record is behind', async () => {
    const { world, putBack } = await afterRevocation('github', { Authorization: 'ghp_leaked' });
    putBack();
    const [userKey] = world.informers.userKeys.store.list() as UserKey[];
    const opening = world.store.open(addressOf('github'), versionToOpen(userKey!)!);
    await expect(opening).rejects.toMatchObject({ code: 'RolledBack' });
  });

  test('gives none of its headers to the key that is set next', async () => {
    const { world, putBack } = await afterRevocation('jira', {
      'X-Jira-Email': 'a@example.com',
      'X-Jira-Token': 'leaked',
    });
    putBack();
    await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com' });
    expect(await handedOut(world, jira)).toEqual({ 'X-Jira-Email': 'a@example.com' });
  });

  test('does not stop the next key of a replica whose clock is behind', async () => {
    const { world } = await afterRevocation('github', { Authorization: 'ghp_leaked' });
    world.clock.now = new Date(world.clock.now.getTime() - 60_000);
    await world.ask(set('github'), { Authorization: 'ghp_fresh' });
    expect(await handedOut(world, github)).toEqual({ Authorization: 'ghp_fresh' });
  });
});

describe('a version on record', () => {
  test('is there before the answer, and is the one that was sealed', async () => {
    const world = await testIntake();
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    const onRecord: unknown[] = [];
    world.cluster.beforeCall = (call) => {
      if (call.startsWith('mergePatch userkeyrequests')) onRecord.push(recordOf(world));
    };
    await world.handle(request);
    expect(onRecord).toEqual([world.store.find(addressOf('github'))?.version]);
  });

  test('is written to that very UserKey: not to one that was made since', async () => {
    const world = await testIntake();
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    world.cluster.beforeCall = async (call) => {
      if (!call.startsWith('applyStatus')) return;
      world.cluster.beforeCall = () => {};
      const [userKey] = world.informers.userKeys.store.list() as UserKey[];
      const { uid: _, ...metadata } = userKey!.metadata;
      await world.cluster.client.delete(userKeys, { namespace, name: metadata.name });
      world.cluster.put(userKeys, { ...userKey!, metadata: { ...metadata, uid: 'another' } });
    };
    await expect(world.handle(request)).rejects.toMatchObject({ code: 'Conflict' });
    expect(recordOf(world)).toBeUndefined();
  });

  test('two first headers that are set at the same time are both kept', async () => {
    const world = await testIntake();
    const requests = [
      world.send(set('jira'), { 'X-Jira-Email': 'a@example.com' }),
      world.send(set('jira'), { 'X-Jira-Token': 'abc' }),
    ];
    await Promise.all(requests.map(({ request }) => world.handle(request)));
    expect(await handedOut(world, jira)).toEqual({ 'X-Jira-Email': 'a@example.com', 'X-Jira-Token': 'abc' });
  });
});

function recordOf(world: World): number | undefined {
  return (world.informers.userKeys.store.list() as UserKey[])[0]?.status?.version;
}
