import { describe, expect, test } from 'vitest';

import type { RevokeAnswer, UserKeyResponse } from '#cli/contract/responses.ts';
import { leakedValueName, type RevokeControl } from '#cli/contract/revoke-control.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { versionToOpen } from '#operator/keystore/revoked.ts';
import { verifies } from '#test/requirements.ts';

import { namespace, testIntake } from '../intake/fixtures.ts';

type World = Awaited<ReturnType<typeof testIntake>>;

const set = (server: string) => ({ v: 1, operation: 'set', server }) as const;
const revokeOwn = (server: string) => ({ v: 1, operation: 'revoke', whose: 'own', server }) as const;
const everybody = { v: 1, operation: 'revoke', whose: 'everybody' } as const;
const ofUser = (user: string, server?: string) =>
  ({ v: 1, operation: 'revoke', whose: 'user', user, ...(server === undefined ? {} : { server }) }) as const;

const shared = 'ghp_shared0123456789';

/** alice and bob share a key for github, carol has her own; alice has one for jira, too. */
async function team(): Promise<World> {
  const world = await testIntake();
  await world.ask(set('github'), { Authorization: shared }, 'alice');
  await world.ask(set('github'), { Authorization: shared }, 'bob');
  await world.ask(set('github'), { Authorization: 'ghp_carols' }, 'carol');
  await world.ask(set('jira'), { 'X-Jira-Email': 'alice@example.com', 'X-Jira-Token': shared }, 'alice');
  world.clock.now = new Date(world.clock.now.getTime() + 1_000);
  return world;
}

/** What the broker would open of a user's key, whatever lies sealed. */
async function inUse(world: World, user: string, server = 'github'): Promise<boolean> {
  const subject = { issuer: 'kubernetes', id: user, name: user };
  const address = {
    organization: 'default',
    server: { namespace, name: server },
    serverUid: `uid-of-${server}`,
    subject,
  };
  const userKey = world.informers.userKeys.store.get(namespace, world.store.userKeyNameOf(address)) as
    | UserKey
    | undefined;
  const versionMin = userKey === undefined ? undefined : versionToOpen(userKey);
  if (versionMin === undefined) return false;
  using opened = await world.store.open(address, versionMin).catch(() => undefined);
  return opened !== undefined;
}

async function usersIn(world: World, server = 'github'): Promise<readonly string[]> {
  const users: string[] = [];
  for (const user of ['alice', 'bob', 'carol']) if (await inUse(world, user, server)) users.push(user);
  return users;
}

function revokedIn(response: UserKeyResponse): readonly string[] {
  if (response.outcome !== 'ok' || response.operation !== 'revoke') throw new Error(JSON.stringify(response));
  return response.revoked.map(({ server, user }) => `${user.name} ${server}`);
}

const ask = (world: World, control: RevokeControl, ...[username, leaked]: readonly [string, string?]) =>
  world.ask(control, leaked === undefined ? {} : { [leakedValueName]: leaked }, username);

describe('revoking', () => {
  test(verifies('revocation:own'), async () => {
    const world = await team();
    expect(revokedIn(await ask(world, revokeOwn('github'), 'alice'))).toEqual(['alice github']);
    expect(await usersIn(world)).toEqual(['bob', 'carol']);
    expect(await usersIn(world, 'jira')).toEqual(['alice']);
    expect(await world.ask(set('github'), { Authorization: 'ghp_next' }, 'alice')).toMatchObject({ outcome: 'ok' });
    expect(await usersIn(world)).toEqual(['alice', 'bob', 'carol']);
  });

  test('a key that is not there says so', async () => {
    const world = await team();
    expect(revokedIn(await ask(world, revokeOwn('jira'), 'bob'))).toEqual([]);
  });

  test('destroys what lies sealed as well', async () => {
    const world = await team();
    const sealed = () => [...world.cluster.objects.keys()].filter((key) => key.includes('mcp-keyring-keys')).length;
    const before = sealed();
    await ask(world, revokeOwn('github'), 'alice');
    expect(sealed()).toBe(before - 1);
  });

  test(verifies('revocation:rights'), async () => {
    for (const control of [ofUser('alice', 'github'), ofUser('alice'), { ...everybody, server: 'github' }]) {
      const world = await team();
      const refused = await ask(world, control, 'bob');
      expect(refused).toMatchObject({ outcome: 'refused', code: 'Forbidden' });
      expect(await usersIn(world)).toEqual(['alice', 'bob', 'carol']);
      expect(world.audited.at(-1)).toMatchObject({ type: 'denied', reason: 'Forbidden' });
      expect(revokedIn(await ask(world, control, 'root'))).toContain('alice github');
      expect(await inUse(world, 'alice')).toBe(false);
    }
  });

  test('a right at one server reaches no key of another', async () => {
    const world = await team();
    const answer = await ask(world, ofUser('alice'), 'keeper');
    expect(revokedIn(answer)).toEqual(['alice github']);
    expect(answer).toMatchObject({ leftOut: ['jira', 'open'] });
    expect(await inUse(world, 'alice', 'jira')).toBe(true);
    expect(await ask(world, ofUser('alice', 'jira'), 'keeper')).toMatchObject({ code: 'Forbidden' });
  });

  test('nothing is done while nobody can say what somebody may do', async () => {
    const world = await testIntake();
    const rights = { ask: () => Promise.resolve('unknown') } as const;
    await world.ask(set('github'), { Authorization: shared }, 'alice');
    Object.assign(world.revocationOptions, { rights });
    expect(await ask(world, ofUser('alice', 'github'), 'root')).toMatchObject({ code: 'RightsUnavailable' });
    expect(await inUse(world, 'alice')).toBe(true);
  });

  test('an administrator needs no login of the organization', async () => {
    const world = await testIntake({
      tenancy: { organizationOf: () => ({ kind: 'organization', name: 'default', issuers: [] }) },
    });
    expect(await ask(world, { ...everybody, server: 'github' }, 'root')).toMatchObject({ outcome: 'ok', revoked: [] });
    expect(await ask(world, revokeOwn('github'), 'root')).toMatchObject({ code: 'Unauthenticated' });
  });

  test('all keys of one server leave other servers alone', async () => {
    const world = await team();
    expect(revokedIn(await ask(world, { ...everybody, server: 'github' }, 'root'))).toHaveLength(3);
    expect(await usersIn(world)).toEqual([]);
    expect(await usersIn(world, 'jira')).toEqual(['alice']);
  });

  test('a user who has no key is named, so that a slip is seen', async () => {
    const world = await team();
    expect(await ask(world, ofUser('alcie'), 'root')).toMatchObject({ outcome: 'refused', code: 'KeyNotFound' });
  });

  test('a name of several users is refused, and each of them can be named by the end of their UserKey', async () => {
    const world = await team();
    const [first] = world.informers.userKeys.store.list() as UserKey[];
    const other = { ...first!.spec.subject, issuer: 'https://idp.example.com', id: 'other' };
    const ref = { server: { namespace, name: 'github' }, subject: other };
    const name = world.store.userKeyNameOf(ref);
    const twin = {
      ...first!,
      metadata: { namespace, name, uid: 'twin' },
      spec: { ...first!.spec, subject: { ...other, name: 'bob' } },
    };
    world.cluster.put(
      { group: 'mcpkeyring.io', version: 'v1alpha1', plural: 'userkeys', kind: 'UserKey', namespaced: true },
      twin,
    );
    const bobs = (world.informers.userKeys.store.list() as UserKey[]).filter(({ spec }) => spec.subject.name === 'bob');
    expect(bobs).toHaveLength(2);
    // By id there is one.
    expect(revokedIn(await ask(world, ofUser('other'), 'root'))).toEqual(['bob github']);
    expect(revokedIn(await ask(world, ofUser(name.slice(-16)), 'root'))).toEqual(['bob github']);
  });

  test.each([
    ['everybody, with neither server nor value', everybody, undefined],
    ['a value of one user only', ofUser('alice'), shared],
  ])('%s is refused', async (_, control, leaked) => {
    const world = await team();
    expect(await ask(world, control, 'root', leaked)).toMatchObject({ code: 'RequestMalformed' });
    expect(await usersIn(world)).toEqual(['alice', 'bob', 'carol']);
  });
});

describe('a value that has leaked', () => {
  test(verifies('revocation:leaked'), async () => {
    const world = await team();
    const answer = (await ask(world, everybody, 'root', `Bearer ${shared}\n`)) as RevokeAnswer & UserKeyResponse;
    expect(revokedIn(answer).toSorted()).toEqual(['alice github', 'alice jira', 'bob github']);
    expect(await usersIn(world)).toEqual(['carol']);
    expect(answer.fingerprint).toMatch(/^fp-[a-z2-7]{26}$/u);
    expect(JSON.stringify([answer, world.audited, world.cluster.calls])).not.toContain(shared);
  });

  test('is found again by its fingerprint, without anybody showing it', async () => {
    const world = await team();
    const none = (await ask(world, { ...everybody, server: 'open' }, 'root', shared)) as RevokeAnswer & UserKeyResponse;
    expect(revokedIn(none)).toEqual([]);
    const { fingerprint } = none;
    // The server has no headers and no keys, but the value has one fingerprint in the organization.
    const again = await ask(world, { ...everybody, fingerprint: fingerprint! }, 'root');
    expect(revokedIn(again)).toHaveLength(3);
  });

  test('is looked for only where the requester may revoke', async () => {
    const world = await team();
    const answer = await ask(world, everybody, 'keeper', shared);
    expect(revokedIn(answer).toSorted()).toEqual(['alice github', 'bob github']);
    expect(answer).toMatchObject({ leftOut: ['jira', 'open'] });
    expect(await ask(world, everybody, 'bob', shared)).toMatchObject({ outcome: 'refused', code: 'Forbidden' });
  });

  test('of one organization has another fingerprint than in the next', async () => {
    const fingerprints = await Promise.all(
      ['acme', 'globex'].map(async (name) => {
        const issuers = [{ type: 'Kubernetes', name: 'cluster', audiences: [] }] as const;
        const world = await testIntake({
          tenancy: { organizationOf: () => ({ kind: 'organization', name, issuers }) },
        });
        return ((await ask(world, everybody, 'root', shared)) as RevokeAnswer & UserKeyResponse).fingerprint;
      }),
    );
    expect(new Set(fingerprints).size).toBe(2);
  });

  test('is not looked for in keys that do not open, and the answer says how many there are', async () => {
    const world = await team();
    for (const [key, object] of world.cluster.objects) {
      if (!key.startsWith('secrets mcp-keyring-keys')) continue;
      const broken = { ...object, data: { header: 'AAAA', ciphertext: 'AAAA' } };
      world.cluster.put({ group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true }, broken);
    }
    expect(await ask(world, everybody, 'root', shared)).toMatchObject({ revoked: [], unread: 4 });
  });
});

describe('the record', () => {
  test(verifies('revocation:on-record'), async () => {
    const world = await team();
    const control = { ...everybody, server: 'github', reason: 'left on a train' };
    const { request } = world.send(control, {}, 'root');
    const versions = (world.informers.userKeys.store.list() as UserKey[])
      .filter(({ spec }) => spec.serverRef.name === 'github')
      .map(({ status }) => status?.version);
    await world.handle(request);
    const events = world.audited.filter(({ type }) => type === 'key.revoked');
    expect(events).toHaveLength(3);
    expect(new Set(events.map(({ id }) => id)).size).toBe(3);
    expect(events).toMatchObject(
      versions.map((keyVersion) => ({ keyVersion, actor: 'root', reason: 'left on a train' })),
    );
  });

  test(verifies('revocation:crash'), async () => {
    for (let moment = 0; moment < 12; moment += 1) {
      const world = await team();
      const { request } = world.send(revokeOwn('github'), {}, 'alice');
      let calls = 0;
      world.cluster.beforeCall = () => {
        calls += 1;
        if (calls === moment + 1) throw new KubeError('Unavailable', 'no answer');
      };
      const wasBroken = await world.handle(request).then(
        () => false,
        () => true,
      );
      world.cluster.beforeCall = () => {};
      const isRegistered = (world.informers.userKeys.store.list() as UserKey[]).some(({ status }) => status?.revoked);
      // From the register on nothing is handed out, even where the sealed key is left behind.
      if (isRegistered) expect(await inUse(world, 'alice')).toBe(false);
      world.clock.now = new Date(world.clock.now.getTime() + 5_000);
      if (isRegistered) await world.ask(set('github'), { Authorization: 'ghp_since' }, 'alice');
      await world.handle(request);
      expect(await inUse(world, 'alice')).toBe(isRegistered);
      const ids = world.audited.filter(({ type }) => type === 'key.revoked').map(({ id }) => id);
      expect(new Set(ids).size).toBe(1);
      if (!wasBroken) break;
    }
  });
});
