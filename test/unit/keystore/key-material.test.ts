import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { systemRandomness } from '#operator/envelope/randomness.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { decodeBase64, encodeBase64 } from '#operator/keystore/base64-bytes.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import { indexSecretName, openIndexKey } from '#operator/keystore/index-key.ts';
import { kekSecretName } from '#operator/keystore/kek-store.ts';
import { base32 } from '#operator/keystore/names.ts';
import { parseRawSecret, writeRawSecret } from '#operator/keystore/secret-json.ts';

import { FakeCluster } from './fake-cluster.ts';
import { emptySecret, openKeks, operatorNamespace } from './fixtures.ts';

const fails = (code: string) => expect.objectContaining({ name: 'KeyStoreError', code }) as Error;

function clusterWith(...names: readonly string[]): FakeCluster {
  const cluster = new FakeCluster();
  for (const name of names) cluster.put(secrets, emptySecret(name));
  return cluster;
}

const stored = (cluster: FakeCluster, name: string) =>
  cluster.objects.get(`secrets ${operatorNamespace}/${name}`) as Secret;

describe('key-encryption keys', () => {
  test('are made once in the empty Secret of the chart', async () => {
    const cluster = clusterWith(kekSecretName);
    const keks = await openKeks(cluster);
    expect(keks.kids).toEqual([keks.currentKid]);
    expect(keks.currentKid).toMatch(/^local-[0-9a-f]{8}$/);
    const { data = {} } = stored(cluster, kekSecretName);
    expect(Buffer.from(data[keks.currentKid] ?? '', 'base64').byteLength).toBe(32);
    expect((await openKeks(cluster)).currentKid).toBe(keks.currentKid);
  });

  test('are the same for replicas that start together', async () => {
    const cluster = clusterWith(kekSecretName);
    const replicas = await Promise.all([1, 2, 3].map(() => openKeks(cluster)));
    expect(new Set(replicas.map(({ currentKid }) => currentKid)).size).toBe(1);
    expect(Object.keys(stored(cluster, kekSecretName).data ?? {})).toHaveLength(2);
  });

  test('are not made anew while sealed keys exist: those would be lost for good', async () => {
    await expect(openKeks(clusterWith(kekSecretName), true)).rejects.toThrow(fails('KeyMaterialLost'));
  });

  test('need the Secret of the chart', async () => {
    await expect(openKeks(clusterWith())).rejects.toThrow(fails('SecretNotFound'));
  });

  test.each([
    ['a short KEK', { 'local-0000000a': Buffer.alloc(31), current: Buffer.from('local-0000000a') }],
    ['another name', { mine: Buffer.alloc(32), current: Buffer.from('mine') }],
    ['no current one', { 'local-0000000a': Buffer.alloc(32) }],
    ['a current one that is not there', { 'local-0000000a': Buffer.alloc(32), current: Buffer.from('local-0000000b') }],
  ])('are refused whole with %s', async (_what, entries) => {
    const cluster = clusterWith(kekSecretName);
    const data = Object.fromEntries(Object.entries(entries).map(([name, bytes]) => [name, bytes.toString('base64')]));
    cluster.put(secrets, { ...emptySecret(kekSecretName), data });
    await expect(openKeks(cluster)).rejects.toThrow(fails('KeyMaterialMalformed'));
  });

  test('follow the Secret, and stay as they are when it becomes unreadable', async () => {
    const cluster = clusterWith(kekSecretName);
    const keks = await openKeks(cluster);
    const informer = cluster.informer(secrets);
    const first = stored(cluster, kekSecretName);
    keks.follow(informer);
    cluster.put(secrets, first);
    const data = { ...first.data, 'local-0000000b': Buffer.alloc(32).toString('base64') };
    cluster.put(secrets, { ...first, data });
    await expect.poll(() => keks.kids).toHaveLength(2);
    const reads = cluster.calls.length;
    cluster.put(secrets, { ...first, data: { nonsense: 'AAAA' } });
    await expect.poll(() => cluster.calls.length).toBeGreaterThan(reads);
    expect(keks.kids).toHaveLength(2);
  });
});

describe('the index key', () => {
  const open = (cluster: FakeCluster, hasSealedKeys = false) =>
    openIndexKey({
      client: cluster.client,
      namespace: operatorNamespace,
      hasSealedKeys: () => Promise.resolve(hasSealedKeys),
      randomness: systemRandomness,
    });

  test('is made once and then stays', async () => {
    const cluster = clusterWith(indexSecretName);
    const [one, two] = [await open(cluster), await open(cluster, true)];
    expect(one.equals(two)).toBe(true);
    expect(one.symmetricKeySize).toBe(32);
  });

  test('is not made anew while sealed keys exist', async () => {
    await expect(open(clusterWith(indexSecretName), true)).rejects.toThrow(fails('KeyMaterialLost'));
  });
});

describe('a Secret as bytes', () => {
  const entries = fc.dictionary(fc.stringMatching(/^[-._a-zA-Z0-9]{1,20}$/), fc.uint8Array({ maxLength: 70 }), {
    noNullPrototype: true,
  });

  test('is read as JSON.parse would read it, without making strings of the values', () => {
    fc.assert(
      fc.property(entries, fc.json({ noUnicodeString: false }), fc.constantFrom(0, 2), (data, extra, indent) => {
        const encoded = Object.fromEntries(
          Object.entries(data).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
        );
        const object = {
          metadata: { name: 'data', note: '"data":{' },
          nested: { data: { a: 'AA==' } },
          extra: JSON.parse(extra) as unknown,
          data: encoded,
          type: 'data',
        };
        using raw = parseRawSecret(Buffer.from(JSON.stringify(object, null, indent)));
        expect(raw.object).toEqual({ ...JSON.parse(JSON.stringify(object)), data: {} });
        const values = Object.fromEntries([...raw.data].map(([name, value]) => [name, new Uint8Array(value.bytes)]));
        expect(values).toEqual({ ...data });
      }),
    );
  });

  test('is written as JSON.stringify would write it', () => {
    fc.assert(
      fc.property(entries, (data) => {
        using body = writeRawSecret(emptySecret('a'), new Map(Object.entries(data)));
        const encoded = Object.fromEntries(
          Object.entries(data).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
        );
        expect(JSON.parse(body.bytes.toString())).toEqual({ ...emptySecret('a'), data: { ...encoded } });
      }),
    );
  });

  test('without data has no entries', () => {
    using raw = parseRawSecret(Buffer.from(JSON.stringify(emptySecret('a'))));
    expect(raw.data.size).toBe(0);
    using isNull = parseRawSecret(Buffer.from('{"metadata":{"name":"a"},"data":null}'));
    expect(isNull.data.size).toBe(0);
  });

  test.each([
    '',
    '{',
    '{"data":{"a"',
    '{"data":{"a":1}}',
    '{"metadata":{},"data":{"a":"A"}}',
    '{"metadata":{},"data":{"a":"A*=="}}',
    '[]',
    '{"data":{}}',
  ])('that is malformed is refused: %s', (json) => {
    expect(() => parseRawSecret(Buffer.from(json))).toThrow(fails('KeyMaterialMalformed'));
  });

  test('never fails otherwise, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(outcomeOf(Buffer.from(bytes))).toBeOneOf(['parsed', 'KeyMaterialMalformed']);
        },
      ),
    );
  });
});

function outcomeOf(bytes: Buffer): unknown {
  try {
    parseRawSecret(bytes);
    return 'parsed';
  } catch (error) {
    return error instanceof KeyStoreError ? error.code : error;
  }
}

describe('encodings', () => {
  test('base64 is what Buffer makes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const encoded = encodeBase64(bytes);
        expect(encoded.toString()).toBe(Buffer.from(bytes).toString('base64'));
        expect(new Uint8Array(decodeBase64(encoded)!.bytes)).toEqual(bytes);
      }),
    );
    expect(['A', 'AA', 'AAA', '====', 'A===', 'AA=A', 'AA A'].map((text) => decodeBase64(Buffer.from(text)))).toEqual(
      Array.from({ length: 7 }),
    );
  });

  test('base32 is that of RFC 4648 section 10', () => {
    const vectors = {
      '': '',
      f: 'my',
      fo: 'mzxq',
      foo: 'mzxw6',
      foob: 'mzxw6yq',
      fooba: 'mzxw6ytb',
      foobar: 'mzxw6ytboi',
    };
    for (const [text, encoded] of Object.entries(vectors)) expect(base32(Buffer.from(text))).toBe(encoded);
  });
});
