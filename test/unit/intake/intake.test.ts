import { describe, expect, test } from 'vitest';

import { userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { KeyAddress, KeyStore } from '#operator/keystore/key-store.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { mcpServers, userKeyPolicies, userKeys } from '#operator/kube/keyring-resources.ts';
import { secrets } from '#operator/kube/resources.ts';

import { firstVersion, now, textOf } from '../keystore/fixtures.ts';
import { namespace, organization, server, testIntake } from './fixtures.ts';

type World = Awaited<ReturnType<typeof testIntake>>;

const alice = { issuer: 'kubernetes', id: 'alice', name: 'alice' };
const set = (name: string) => ({ v: 1, operation: 'set', server: name }) as const;
const remove = (name: string) => ({ v: 1, operation: 'delete', server: name }) as const;
const status = (name: string) => ({ v: 1, operation: 'status', server: name }) as const;
const list = { v: 1, operation: 'list' } as const;
const refused = (code: string) => expect.objectContaining({ outcome: 'refused', code }) as object;

function addressOf(name: string, subject = alice): KeyAddress {
  return { organization: 'default', server: { namespace, name }, serverUid: `uid-of-${name}`, subject };
}

async function storedText(world: World, address: KeyAddress) {
  using opened = await world.store.open(address, 0);
  return textOf(opened?.headers);
}

const userKeysIn = ({ cluster }: World) =>
  [...cluster.objects.values()].filter(({ kind }) => kind === 'UserKey') as UserKey[];
const sealedIn = ({ cluster }: World) =>
  [...cluster.objects.values()].filter(({ metadata }) => metadata.namespace === 'mcp-keyring-keys');

describe('setting a key', () => {
  test('stores it sealed, shows it as a UserKey, records it and answers the requester alone', async () => {
    const world = await testIntake();
    const { request, openResponse } = world.send(set('github'), { authorization: ' Bearer ghp_example\n' });
    await world.handle(request);
    const { status: answered } = world.stored(request)!;
    expect(answered).toMatchObject({
      observedGeneration: 1,
      completedAt: now.toISOString(),
      conditions: [{ type: 'Complete', status: 'True', reason: 'Answered' }],
    });
    expect(openResponse(answered?.sealedResponse ?? '')).toEqual({
      v: 1,
      outcome: 'ok',
      operation: 'set',
      subject: { issuer: 'kubernetes', name: 'alice' },
      key: {
        server: 'github',
        title: 'GITHUB',
        state: 'Configured',
        version: firstVersion,
        setAt: now.toISOString(),
        headers: [{ name: 'Authorization', required: true, state: 'Configured' }],
      },
      notices: ['Authorization: "Bearer" was left out: the server\'s template adds it.'],
    });
    expect(await storedText(world, addressOf('github'))).toEqual({ Authorization: 'ghp_example' });
    expect(world.audited).toEqual([
      {
        type: 'key.set',
        id: 'request-1',
        at: now.toISOString(),
        organization: 'default',
        server: { namespace, name: 'github' },
        subject: alice,
        actor: 'alice',
        keyVersion: firstVersion,
        headerNames: ['Authorization'],
      },
    ]);
  });

  test('makes a UserKey that holds no value and is destroyed with its server', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_example' });
    const [userKey, ...others] = userKeysIn(world);
    expect(others).toEqual([]);
    expect(userKey).toMatchObject({
      metadata: {
        namespace,
        name: world.store.userKeyNameOf(addressOf('github')),
        finalizers: [userKeyFinalizer],
        ownerReferences: [{ kind: 'McpServer', name: 'github', uid: 'uid-of-github' }],
        labels: { 'mcpkeyring.io/server': 'github', 'mcpkeyring.io/user': world.store.subjectKeyOf(alice) },
      },
      spec: { serverRef: { name: 'github' }, subject: alice },
    });
    expect(JSON.stringify([...world.cluster.objects.values()])).not.toContain('ghp_example');
  });

  test('of some headers keeps the others, and says what is still missing', async () => {
    const world = await testIntake();
    expect(await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com' })).toMatchObject({
      key: { state: 'NeedsUpdate', headers: [{ state: 'Configured' }, { state: 'NeedsUpdate' }] },
    });
    expect(await world.ask(set('jira'), { 'x-jira-token': 'abc' })).toMatchObject({
      key: { state: 'Configured', version: firstVersion + 1 },
    });
    expect(await world.ask(set('jira'), { 'X-Jira-Token': 'def' })).toMatchObject({
      key: { version: firstVersion + 2 },
    });
    expect(await storedText(world, addressOf('jira'))).toEqual({
      'X-Jira-Email': 'a@example.com',
      'X-Jira-Token': 'def',
    });
  });

  test('drops headers that the server no longer declares', async () => {
    const world = await testIntake();
    await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com', 'X-Jira-Token': 'abc' });
    world.cluster.put(mcpServers, server('jira', [{ name: 'X-Jira-Token', template: '{value}' }]));
    await world.ask(set('jira'), { 'X-Jira-Token': 'def' });
    expect(await storedText(world, addressOf('jira'))).toEqual({ 'X-Jira-Token': 'def' });
  });

  test('gets a version above the one on record, even when the Secret was lost or put back', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    const [old] = sealedIn(world);
    const [userKey] = userKeysIn(world);
    world.cluster.put(userKeys, { ...userKey!, status: { version: firstVersion + 5 } });
    expect(await world.ask(set('github'), { Authorization: 'ghp_b' })).toMatchObject({
      key: { version: firstVersion + 6 },
      notices: ['The key that was stored before could not be read, so only what you gave now is set.'],
    });
    expect(old).toBeDefined();
  });

  test('is one user’s: another user’s key at the same server is another one', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_alice' });
    await world.ask(set('github'), { Authorization: 'ghp_bob' }, 'bob');
    expect(await storedText(world, addressOf('github'))).toEqual({ Authorization: 'ghp_alice' });
    expect(await storedText(world, addressOf('github', { ...alice, id: 'bob', name: 'bob' }))).toEqual({
      Authorization: 'ghp_bob',
    });
  });

  test('belongs to whom the token names, not to who sent it', async () => {
    const world = await testIntake();
    expect(await world.ask({ ...set('github'), token: 'an.id.token' }, { Authorization: 'ghp_a' })).toMatchObject({
      subject: { issuer: 'https://idp.example.com', name: 'alice@example.com' },
    });
    const subject = { issuer: 'https://idp.example.com', id: 'alice-id', name: 'alice@example.com' };
    expect(await storedText(world, addressOf('github', subject))).toEqual({ Authorization: 'ghp_a' });
    expect(world.audited).toMatchObject([{ subject, actor: 'alice' }]);
  });

  test('waits while the UserKey before is still being deleted', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    const [userKey] = userKeysIn(world);
    world.cluster.put(userKeys, {
      ...userKey!,
      metadata: { ...userKey!.metadata, deletionTimestamp: now.toISOString() },
    });
    const { request } = world.send(set('github'), { Authorization: 'ghp_b' });
    expect(await world.handle(request)).toEqual({ requeueAfterMs: 500 });
    expect(world.stored(request)?.status).toBeUndefined();
    expect(await storedText(world, addressOf('github'))).toEqual({ Authorization: 'ghp_a' });
  });

  test('is not answered before it is on record, and the retry is recorded under the same id', async () => {
    let fails = true;
    const ids: string[] = [];
    const append = (event: { readonly id: string }) => {
      ids.push(event.id);
      return fails ? Promise.reject(new Error('the disk is full')) : Promise.resolve();
    };
    const world = await testIntake({ audit: { append } });
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    await expect(world.handle(request)).rejects.toThrow('the disk is full');
    expect(world.stored(request)?.status).toBeUndefined();
    fails = false;
    await world.handle(request);
    expect(world.stored(request)?.status?.completedAt).toBeDefined();
    expect(ids).toEqual(['request-1', 'request-1']);
  });
});

describe('a request is refused', () => {
  test.each([
    {
      name: 'a server that does not exist',
      control: set('githb'),
      values: { Authorization: 'ghp_a' },
      code: 'ServerNotFound',
    },
    {
      name: 'a server that takes no keys',
      control: set('open'),
      values: { Authorization: 'ghp_a' },
      code: 'ServerNeedsNoKey',
    },
    { name: 'no value', control: set('github'), values: {}, code: 'HeaderMissing' },
    { name: 'an undeclared header', control: set('github'), values: { 'X-Other': 'a' }, code: 'HeaderNotDeclared' },
    {
      name: 'a value of the wrong form',
      control: set('github'),
      values: { Authorization: 'gho_secret' },
      code: 'InvalidFormat',
    },
    {
      name: 'a value with the name of another header before it',
      control: set('jira'),
      values: { 'X-Jira-Email': 'Authorization: a', 'X-Jira-Token': 'b' },
      code: 'InvalidFormat',
    },
    {
      name: 'one wrong value of two',
      control: set('jira'),
      values: { 'X-Jira-Email': 'a', 'X-Jira-Token': 'a\nb' },
      code: 'InvalidFormat',
    },
    {
      name: 'the status of a server that does not exist',
      control: status('nothing'),
      values: {},
      code: 'ServerNotFound',
    },
    { name: 'deleting where nothing is', control: remove('nothing'), values: {}, code: 'ServerNotFound' },
  ])('for $name', async ({ control, values, code }) => {
    const world = await testIntake();
    const response = await world.ask(control, { ...values });
    expect(response).toEqual(refused(code));
    expect(JSON.stringify(response)).not.toContain('gho_secret');
    expect(sealedIn(world)).toEqual([]);
    expect(userKeysIn(world)).toEqual([]);
    expect(world.audited).toEqual([]);
  });

  test('with suggestions', async () => {
    const world = await testIntake();
    expect(await world.ask(set('githb'))).toMatchObject({
      message: 'There is no McpServer githb in namespace team-a. Did you mean github?',
      suggestions: ['github'],
    });
    expect(await world.ask(set('no-such-thing'))).toMatchObject({
      message:
        'There is no McpServer no-such-thing in namespace team-a. Those that there are: kubectl mcpkeys list -n team-a',
    });
  });

  test('in a namespace of no organization, or of several', async () => {
    const none = await testIntake({ tenancy: { organizationOf: () => ({ kind: 'none' }) } });
    expect(await none.ask(list)).toEqual(refused('NamespaceHasNoOrganization'));
    const conflict = { kind: 'conflict', organizations: ['a', 'b'] } as const;
    const several = await testIntake({ tenancy: { organizationOf: () => conflict } });
    expect(await several.ask(set('github'), { Authorization: 'ghp_a' })).toEqual(refused('NamespacesConflict'));
    expect(sealedIn(several)).toEqual([]);
  });

  test('for a Kubernetes user where the organization does not know them, and it is recorded', async () => {
    const world = await testIntake({ tenancy: { organizationOf: () => ({ ...organization, issuers: [] }) as const } });
    expect(await world.ask(set('github'), { Authorization: 'ghp_a' })).toEqual(refused('Unauthenticated'));
    expect(world.audited).toMatchObject([
      { type: 'denied', id: 'request-1', action: 'user-key-request', reason: 'Unauthenticated' },
    ]);
  });

  test('for a token that proves nothing: it is not ignored in favour of the requester', async () => {
    const identification = {
      kind: 'unauthenticated',
      reason: 'TokenExpired',
      message: 'The token has expired.',
    } as const;
    const world = await testIntake({ identifier: { identify: () => Promise.resolve(identification) } });
    const response = await world.ask({ ...set('github'), token: 'old' }, { Authorization: 'ghp_a' });
    expect(response).toEqual({ v: 1, outcome: 'refused', code: 'Unauthenticated', message: 'The token has expired.' });
    expect(sealedIn(world)).toEqual([]);
    expect(JSON.stringify(world.audited)).not.toContain('old"');
  });

  test('while nobody can say who it is', async () => {
    const world = await testIntake({ identifier: { identify: () => Promise.reject(new Error('no answer')) } });
    expect(await world.ask({ ...list, token: 'a' })).toEqual(refused('IdentityUnavailable'));
  });

  test('for a user id that no envelope holds', async () => {
    const world = await testIntake();
    expect(await world.ask(set('github'), { Authorization: 'ghp_a' }, 'x'.repeat(513))).toEqual(
      refused('Unauthenticated'),
    );
  });

  test('beyond 60 a minute, for that requester alone', async () => {
    const world = await testIntake();
    for (let count = 0; count < 60; count += 1) expect(await world.ask(list)).toMatchObject({ outcome: 'ok' });
    expect(await world.ask(list)).toEqual(refused('TooManyRequests'));
    expect(await world.ask(list, {}, 'bob')).toMatchObject({ outcome: 'ok' });
    world.clock.now = new Date(now.getTime() + 60_000);
    expect(await world.ask(list)).toMatchObject({ outcome: 'ok' });
  });

  test('when its values are too long together, and nothing is kept', async () => {
    const long = server(
      'long',
      Array.from({ length: 9 }, (_, index) => ({ name: `X-${index}`, template: '{value}' })),
    );
    const world = await testIntake();
    world.cluster.put(mcpServers, long);
    const values = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`X-${index}`, 'k'.repeat(8_192)]));
    expect(await world.ask(set('long'), values)).toEqual(refused('TooLarge'));
    expect(sealedIn(world)).toEqual([]);
    expect(userKeysIn(world)).toEqual([]);
  });

  test('while the KEK of the stored key is not there: it may be sound, so it is not replaced', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    const lost: KeyStore['open'] = () => Promise.reject(new KeyStoreError('KekMissing'));
    world.store.open = lost;
    expect(await world.ask(set('github'), { Authorization: 'ghp_b' })).toEqual(refused('StoreUnavailable'));
    expect(world.store.find(addressOf('github'))?.version).toBe(firstVersion);
  });
});

describe('a request that does not open is answered without a seal', () => {
  test('because its key is no longer in use', async () => {
    const world = await testIntake({ keyPairOf: () => undefined });
    const { request } = world.send(list);
    await world.handle(request);
    expect(world.stored(request)?.status).toMatchObject({
      completedAt: now.toISOString(),
      conditions: [{ type: 'Complete', status: 'False', reason: 'KeyIdUnknown' }],
    });
    expect(world.stored(request)?.status?.sealedResponse).toBeUndefined();
  });

  test('because somebody sends another user’s request under their own name', async () => {
    const world = await testIntake();
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    const replayed = { ...request, spec: { ...request.spec, requester: { username: 'mallory', groups: [] } } };
    world.cluster.objects.clear();
    world.cluster.put({ group: '', version: '', plural: 'userkeyrequests', kind: '', namespaced: true }, replayed);
    await world.handle(replayed);
    expect(world.stored(replayed)?.status?.conditions).toMatchObject([{ status: 'False', reason: 'Unreadable' }]);
    expect(sealedIn(world)).toEqual([]);
  });
});

describe('deleting a key', () => {
  test('destroys it at once, has the UserKey deleted and records it', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    expect(await world.ask(remove('github'))).toMatchObject({
      outcome: 'ok',
      operation: 'delete',
      server: 'github',
      deleted: true,
    });
    expect(sealedIn(world)).toEqual([]);
    expect(userKeysIn(world)).toEqual([]);
    expect(world.audited.map(({ type }) => type)).toEqual(['key.set', 'key.delete']);
  });

  test('that is not there changes nothing', async () => {
    const world = await testIntake();
    expect(await world.ask(remove('github'))).toMatchObject({ outcome: 'ok', deleted: false });
    expect(world.audited).toEqual([]);
  });

  test('works after its server is gone, for the user’s own UserKey only', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    await world.cluster.client.delete(mcpServers, { namespace, name: 'github' });
    expect(await world.ask(remove('github'), {}, 'bob')).toEqual(refused('ServerNotFound'));
    expect(sealedIn(world)).toHaveLength(1);
    expect(await world.ask(remove('github'))).toMatchObject({ deleted: true });
    expect(sealedIn(world)).toEqual([]);
  });
});

describe('asking', () => {
  test('for the list gives every server of the namespace with the state of the own key', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    expect(await world.ask(list)).toMatchObject({
      operation: 'list',
      more: 0,
      keys: [
        { server: 'github', state: 'Configured', version: firstVersion },
        { server: 'jira', state: 'Missing' },
        { server: 'open', state: 'NotNeeded', headers: [] },
      ],
    });
    expect(await world.ask(list, {}, 'bob')).toMatchObject({ keys: [{ server: 'github', state: 'Missing' }, {}, {}] });
  });

  test('for the list of a big namespace says how many were left out', async () => {
    const world = await testIntake();
    for (let index = 0; index < 110; index += 1) world.cluster.put(mcpServers, server(`s-${index}`, []));
    const response = await world.ask(list);
    expect(response).toMatchObject({ more: 13 });
  });

  test('shows a key that the upstream refuses as Invalid, until its user sets another', async () => {
    const world = await testIntake();
    await world.ask(set('github'), { Authorization: 'ghp_a' });
    const [userKey] = userKeysIn(world);
    const version = userKey!.status!.version!;
    world.cluster.put(userKeys, {
      ...userKey!,
      status: { version, rejected: { version, at: '2026-11-24T10:00:00Z' } },
    });
    expect(await world.ask(status('github'))).toMatchObject({
      key: { state: 'Invalid', headers: [{ name: 'Authorization', state: 'Invalid' }] },
    });
    expect(await world.ask(set('github'), { Authorization: 'ghp_b' })).toMatchObject({ key: { state: 'Configured' } });
  });

  test('for the status gives what the CLI asks and checks by', async () => {
    const world = await testIntake();
    expect(await world.ask(status('github'))).toMatchObject({
      operation: 'status',
      key: {
        state: 'Missing',
        headers: [
          {
            name: 'Authorization',
            template: 'Bearer {value}',
            title: 'GitHub token',
            prefixes: ['ghp_'],
            required: true,
          },
        ],
      },
    });
  });

  test('takes policies into account', async () => {
    const world = await testIntake();
    world.cluster.put(userKeyPolicies, {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'UserKeyPolicy',
      metadata: { namespace, name: 'relaxed' },
      spec: { servers: { names: ['github'] }, keys: { optional: ['authorization'] } },
    });
    expect(await world.ask(status('github'))).toMatchObject({
      key: { state: 'NotNeeded', headers: [{ required: false }] },
    });
  });
});

describe('the life of a request', () => {
  test('ends a minute after the answer', async () => {
    const world = await testIntake();
    const { request } = world.send(list);
    expect(await world.handle(request)).toEqual({ requeueAfterMs: 60_000 });
    world.clock.now = new Date(now.getTime() + 59_000);
    expect(await world.handle(request)).toEqual({ requeueAfterMs: 1_000 });
    world.clock.now = new Date(now.getTime() + 60_000);
    await world.handle(request);
    expect(world.stored(request)).toBeUndefined();
  });

  test('ends after five minutes without an answer, and it is not carried out late', async () => {
    const world = await testIntake();
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    world.clock.now = new Date(now.getTime() + 300_000);
    await world.handle(request);
    expect(world.stored(request)).toBeUndefined();
    expect(sealedIn(world)).toEqual([]);
  });

  test('an answered request is not carried out again', async () => {
    const world = await testIntake();
    const { request } = world.send(set('github'), { Authorization: 'ghp_a' });
    await world.handle(request);
    await world.handle(request);
    expect(world.store.find(addressOf('github'))?.version).toBe(firstVersion);
    expect(world.audited).toHaveLength(1);
  });

  test('one that went away meanwhile is no failure', async () => {
    const world = await testIntake();
    const { request } = world.send(list);
    world.cluster.beforeCall = (call) => {
      if (call.startsWith('mergePatch')) throw new KubeError('NotFound', 'gone');
    };
    await expect(world.handle(request)).resolves.toEqual({ requeueAfterMs: 60_000 });
    await expect(world.handle({ ...request, metadata: { ...request.metadata, name: 'other' } })).resolves.toEqual({});
  });

  test('a conflict with another writer is tried again as a whole', async () => {
    const world = await testIntake();
    await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com' });
    const { request } = world.send(set('jira'), { 'X-Jira-Token': 'abc' });
    world.cluster.beforeCall = (call) => {
      if (call.startsWith('replace secrets/')) world.cluster.put(secrets, sealedIn(world)[0]!);
    };
    await expect(world.handle(request)).rejects.toMatchObject({ code: 'WriteConflict' });
    world.cluster.beforeCall = () => {};
    await world.handle(request);
    expect(await storedText(world, addressOf('jira'))).toEqual({
      'X-Jira-Email': 'a@example.com',
      'X-Jira-Token': 'abc',
    });
  });

  test('values are zeroed once it is handled', async () => {
    const seen: Buffer[] = [];
    const world = await testIntake();
    const put = world.store.put.bind(world.store);
    world.store.put = (address, headers, options) => {
      seen.push(...headers.map(({ value }) => value.bytes));
      return put(address, headers, options);
    };
    await world.ask(set('jira'), { 'X-Jira-Email': 'a@example.com', 'X-Jira-Token': 'abc' });
    await world.ask(set('jira'), { 'X-Jira-Token': 'def' });
    expect(seen).toHaveLength(4);
    expect(seen.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });
});
