import { createSecretKey } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { sealedSecretType } from '#crds/v1alpha1/names.ts';
import { parseHeader, serializeHeader } from '#operator/envelope/format.ts';
import { encodePayload } from '#operator/envelope/payload.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import type { KeyStoreErrorCode } from '#operator/keystore/errors.ts';
import { kekSecretName } from '#operator/keystore/kek-store.ts';
import type { PutOptions } from '#operator/keystore/key-store.ts';

import {
  address,
  firstVersion,
  headers,
  keyNamespace,
  now,
  openKeks,
  textOf,
  testStore,
  type TestStore,
} from './fixtures.ts';

const token = { Authorization: 'ghp_example' };
const failsWith = (code: KeyStoreErrorCode) => expect.objectContaining({ name: 'KeyStoreError', code }) as Error;

function sealedIn({ cluster }: TestStore): Secret {
  const found = [...cluster.objects.values()].find((object) => object.metadata.namespace === keyNamespace);
  if (found === undefined) throw new Error('nothing is sealed');
  return found;
}

async function openText(world: TestStore, versionMin = 0, at = address) {
  using opened = await world.store.open(at, versionMin);
  return opened && { version: opened.version, headers: textOf(opened.headers) };
}

describe('a stored key', () => {
  test('opens to what was put, and its state is readable without opening', async () => {
    const world = await testStore();
    const stored = await world.store.put(address, headers({ 'X-Workspace': 'acme', ...token }));
    expect(stored).toEqual({
      version: firstVersion,
      headerNames: ['authorization', 'x-workspace'],
      setAt: '2026-11-24T10:00:00.000Z',
    });
    expect(world.store.find(address)).toEqual(stored);
    expect(await openText(world, 1)).toEqual({
      version: firstVersion,
      headers: { 'X-Workspace': 'acme', ...token },
    });
  });

  test('is one Secret in the key namespace that shows neither user nor key', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const secret = sealedIn(world);
    const userKey = world.store.userKeyNameOf(address);
    expect(userKey).toMatch(/^github-[a-z2-7]{16}$/);
    expect(secret).toMatchObject({
      type: sealedSecretType,
      metadata: {
        name: expect.stringMatching(new RegExp(`^[0-9a-f]{16}-${userKey}$`)) as string,
        labels: { 'mcpkeyring.io/managed': 'true', 'mcpkeyring.io/user': world.store.subjectKeyOf(address.subject) },
        annotations: { 'mcpkeyring.io/namespace': 'team-a', 'mcpkeyring.io/user-key': userKey },
      },
    });
    expect(JSON.stringify({ ...secret, data: {} })).not.toContain('alice');
    expect(Object.keys(secret.data ?? {})).toEqual(['header', 'ciphertext']);
  });

  test('is absent before it is set and after it is destroyed', async () => {
    const world = await testStore();
    expect(world.store.find(address)).toBeUndefined();
    expect(await openText(world)).toBeUndefined();
    await world.store.put(address, headers(token));
    expect(await world.store.destroy(address)).toBe(true);
    expect(world.store.find(address)).toBeUndefined();
    expect(await openText(world, 1)).toBeUndefined();
    expect(await world.store.destroy(address)).toBe(false);
  });

  test('has the time as its version, and with every write a higher one, also when the clock stands or goes back', async () => {
    const world = await testStore();
    const put = async (options: PutOptions) => (await world.store.put(address, headers(token), options)).version;
    expect(await put({})).toBe(firstVersion);
    expect(await put({ replaces: firstVersion })).toBe(firstVersion + 1);
    expect(await put({ versionAbove: firstVersion + 9 })).toBe(firstVersion + 10);
    world.clock.now = new Date(now.getTime() - 60_000);
    expect(await put({ versionAbove: firstVersion + 3, replaces: firstVersion + 10 })).toBe(firstVersion + 11);
    world.clock.now = new Date(now.getTime() + 60_000);
    expect(await put({ versionAbove: firstVersion + 11 })).toBe(firstVersion + 60_000);
  });

  test('tells who changed, for invalidation', async () => {
    const world = await testStore();
    const changes: unknown[] = [];
    world.store.onChange((change) => changes.push(change));
    await world.store.put(address, headers(token));
    await world.store.destroy(address);
    const change = { server: address.server, subjectKey: world.store.subjectKeyOf(address.subject) };
    expect(changes).toEqual([change, change]);
  });

  test('of a server made again under the same name, or of another organization, is as if it were not there', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    for (const later of [
      { ...address, serverUid: 'another' },
      { ...address, organization: 'another' },
    ]) {
      expect(world.store.find(later)).toBeUndefined();
      expect(await openText(world, 0, later)).toBeUndefined();
      expect(await world.store.put(later, headers({ Authorization: 'new' }))).toMatchObject({
        version: expect.any(Number) as number,
      });
      expect(await openText(world, 0, later)).toMatchObject({ headers: { Authorization: 'new' } });
    }
  });
});

describe('a key that was deleted', () => {
  test('has a version of its own: the Secret from before does not open under the record of the key that is set next', async () => {
    const world = await testStore();
    const put = (value: string, options: PutOptions) =>
      world.store.put(address, headers({ Authorization: value }), options);
    let { version } = await put('leaked', { replaces: 0 });
    for (let changes = 0; changes < 5; changes += 1) ({ version } = await put('leaked', { replaces: version }));
    const leaked = sealedIn(world);
    await world.store.destroy(address);
    // Five changes and the delete took more than the milliseconds by which the versions ran ahead.
    world.clock.now = new Date(now.getTime() + 10);
    const fresh = await put('fresh', { replaces: 0 });
    expect(fresh.version).toBeGreaterThan(version);
    world.cluster.put(secrets, leaked);
    await expect(world.store.open(address, fresh.version)).rejects.toThrow(failsWith('RolledBack'));
  });

  test('cannot be made the newer one by a Secret that claims a version of the future', async () => {
    const world = await testStore();
    await world.store.put(address, headers({ Authorization: 'old' }));
    const secret = sealedIn(world);
    for (const gen of [firstVersion + 86_400_000, Number.MAX_SAFE_INTEGER]) {
      world.cluster.put(secrets, { ...secret, data: { ...secret.data, header: forgedHeader(secret, gen) } });
      expect(world.store.find(address)?.version).toBe(gen);
      await expect(world.store.open(address, firstVersion)).rejects.toThrow(failsWith('Unreadable'));
      const { version } = await world.store.put(address, headers({ Authorization: 'new' }), {
        versionAbove: firstVersion,
      });
      expect(version).toBe(firstVersion + 1);
      expect(await openText(world, version)).toMatchObject({ headers: { Authorization: 'new' } });
    }
  });
});

/** The header as it is, but for the version; its MAC is wrong then. */
function forgedHeader(secret: Secret, gen: number): string {
  const header = parseHeader(Buffer.from(secret.data?.['header'] ?? '', 'base64'));
  return serializeHeader({ ...header, context: { ...header.context, gen } }).toString('base64');
}

describe('opening refuses', () => {
  test('an older version than the one on record: a rolled-back Secret', async () => {
    const world = await testStore();
    await world.store.put(address, headers({ Authorization: 'old' }));
    const old = sealedIn(world);
    const { version } = await world.store.put(address, headers({ Authorization: 'new' }), { replaces: firstVersion });
    world.cluster.put(secrets, old);
    await expect(world.store.open(address, version)).rejects.toThrow(failsWith('RolledBack'));
    expect(await openText(world, firstVersion)).toMatchObject({ headers: { Authorization: 'old' } });
  });

  test('the Secret of another user under this user’s name', async () => {
    const world = await testStore();
    const mallory = { ...address, subject: { ...address.subject, id: 'mallory' } };
    await world.store.put(address, headers(token));
    const { type, data } = sealedIn(world);
    await world.store.put(mallory, headers({ Authorization: 'own' }));
    const target = [...world.cluster.objects.values()].find(
      ({ metadata }) => metadata.labels?.['mcpkeyring.io/user'] === world.store.subjectKeyOf(mallory.subject),
    )!;
    world.cluster.put(secrets, { ...target, type, data } as Secret);
    await expect(world.store.open(mallory, 0)).rejects.toThrow(failsWith('ContextMismatch'));
    expect(world.store.find(mallory)).toBeUndefined();
  });

  test('a Secret of another cluster', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const elsewhere = world.storeOf({ clusterUid: 'another' });
    await expect(elsewhere.open(address, 0)).rejects.toThrow(failsWith('ContextMismatch'));
  });

  test.each([
    [
      'an altered ciphertext',
      (data: Record<string, string>) => ({ ...data, ciphertext: Buffer.alloc(92).toString('base64') }),
    ],
    ['no header', ({ ciphertext }: Record<string, string>) => ({ ciphertext })],
    ['a header that is no header', (data: Record<string, string>) => ({ ...data, header: 'e30=' })],
  ])('%s', async (_what, change) => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const secret = sealedIn(world);
    world.cluster.put(secrets, { ...secret, data: change({ ...secret.data }) } as Secret);
    await expect(world.store.open(address, 0)).rejects.toThrow(failsWith('Unreadable'));
  });

  test('an authentic envelope that holds other headers than it says', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const { context } = parseHeader(Buffer.from(sealedIn(world).data?.['header'] ?? '', 'base64'));
    using payload = encodePayload(headers({ Cookie: 'admin=1' }));
    const options = { wrappers: [world.keks.wrapper], randomness: systemRandomness, now: new Date() };
    const { header, ciphertext } = await sealEnvelope(payload, context, options);
    const data = { header: header.toString('base64'), ciphertext: ciphertext.toString('base64') };
    world.cluster.put(secrets, { ...sealedIn(world), data });
    await expect(world.store.open(address, 0)).rejects.toThrow(failsWith('Unreadable'));
  });

  test('a Secret of another type', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    world.cluster.put(secrets, { ...sealedIn(world), type: 'Opaque' });
    await expect(world.store.open(address, 0)).rejects.toThrow(failsWith('Unreadable'));
  });

  test('what no KEK at hand can unwrap', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const other = await testStore();
    const store = world.storeOf({ keks: other.keks });
    await expect(store.open(address, 0)).rejects.toThrow(failsWith('KekMissing'));
  });
});

describe('caches that lag', () => {
  test('a version on record that the cache has not seen is looked up before it is called rolled back', async () => {
    const world = await testStore();
    await world.store.put(address, headers({ Authorization: 'old' }));
    world.informer.hold();
    const { version } = await world.store.put(address, headers({ Authorization: 'new' }), { replaces: firstVersion });
    expect(await openText(world, version)).toEqual({ version, headers: { Authorization: 'new' } });
  });

  test('a key on record that the cache has not seen is looked up before it is called missing', async () => {
    const world = await testStore();
    world.informer.hold();
    await world.store.put(address, headers(token));
    expect(await openText(world, firstVersion)).toMatchObject({ version: firstVersion });
    const calls = world.cluster.calls.length;
    expect(await openText(world, 0)).toBeUndefined();
    expect(world.cluster.calls.length).toBe(calls);
  });

  test('a KEK that another replica has just added is loaded, once in a while', async () => {
    const world = await testStore();
    const before = world.cluster.objects.get(`secrets mcp-keyring/${kekSecretName}`) as Secret;
    const kid = 'local-deadbeef';
    const data = {
      ...before.data,
      [kid]: Buffer.alloc(32, 9).toString('base64'),
      current: Buffer.from(kid).toString('base64'),
    };
    world.cluster.put(secrets, { ...before, data });
    const store = world.storeOf({ keks: await openKeks(world.cluster) });
    await store.put(address, headers(token));
    expect(world.keks.kids).not.toContain(kid);
    expect(await openText(world)).toMatchObject({ headers: token });
    expect(world.keks.kids).toContain(kid);
    const other = await testStore();
    await other.store.put(address, headers(token));
    world.cluster.put(secrets, sealedIn(other));
    const reads = () => world.cluster.calls.filter((call) => call.startsWith('getRaw')).length;
    const readsBefore = reads();
    await expect(world.store.open(address, 0)).rejects.toThrow(failsWith('KekMissing'));
    await expect(world.store.open(address, 0)).rejects.toThrow(failsWith('KekMissing'));
    expect(reads() - readsBefore).toBe(0);
  });
});

describe('writing', () => {
  test('gives way to another writer', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    world.cluster.beforeCall = (call) => {
      if (call.startsWith('replace')) world.cluster.put(secrets, sealedIn(world));
    };
    await expect(world.store.put(address, headers(token))).rejects.toThrow(failsWith('WriteConflict'));
  });

  test('of two first writers, one gives way', async () => {
    const world = await testStore();
    const results = await Promise.allSettled([1, 2].map(() => world.store.put(address, headers(token))));
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'WriteConflict' } });
  });

  test('replaces only the version that the caller has read', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token), { replaces: 0 });
    await expect(world.store.put(address, headers(token), { replaces: 0 })).rejects.toThrow(failsWith('WriteConflict'));
    expect(await world.store.put(address, headers(token), { replaces: firstVersion })).toMatchObject({
      version: firstVersion + 1,
    });
  });

  test('never overwrites a Secret that says it is of another namespace', async () => {
    const world = await testStore();
    await world.store.put(address, headers(token));
    const secret = sealedIn(world);
    world.cluster.put(secrets, {
      ...secret,
      metadata: {
        ...secret.metadata,
        annotations: { ...secret.metadata.annotations, 'mcpkeyring.io/namespace': 'team-b' },
      },
    });
    await expect(world.store.put(address, headers(token))).rejects.toThrow(failsWith('ContextMismatch'));
  });

  test('refuses what no envelope can hold', async () => {
    const world = await testStore();
    const long = headers(
      Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`X-${index}`, 'k'.repeat(8_192)])),
    );
    await expect(world.store.put(address, long)).rejects.toThrow(failsWith('NotSealable'));
    const someone = { ...address, subject: { ...address.subject, id: 'x'.repeat(513) } };
    await expect(world.store.put(someone, headers(token))).rejects.toThrow(failsWith('NotSealable'));
  });

  test('passes failures of the API server on', async () => {
    const world = await testStore();
    world.cluster.beforeCall = () => {
      throw new KubeError('Unavailable', 'no answer');
    };
    await expect(world.store.put(address, headers(token))).rejects.toThrow(
      expect.objectContaining({ code: 'Unavailable' }),
    );
  });

  test('leaves the caller’s values alone', async () => {
    const world = await testStore();
    const values = headers(token);
    await world.store.put(address, values);
    expect(textOf(values)).toEqual(token);
  });
});

describe('names', () => {
  test('depend on the index key, on issuer and on id, with no two pairs alike', async () => {
    const world = await testStore();
    const other = world.storeOf({ indexKey: createSecretKey(Buffer.alloc(32, 2)) });
    const subject = (issuer: string, id: string) => ({ issuer, id, name: '' });
    const keys = [
      world.store.subjectKeyOf(subject('a', 'bc')),
      world.store.subjectKeyOf(subject('ab', 'c')),
      world.store.subjectKeyOf(subject('a', 'c')),
      other.subjectKeyOf(subject('a', 'bc')),
    ];
    expect(new Set(keys).size).toBe(4);
    expect(keys.every((key) => /^[a-z2-7]{16}$/.test(key))).toBe(true);
  });

  test('stay the same when only the display name changes', async () => {
    const { store } = await testStore();
    expect(store.subjectKeyOf({ ...address.subject, name: 'Alice B.' })).toBe(store.subjectKeyOf(address.subject));
  });
});
