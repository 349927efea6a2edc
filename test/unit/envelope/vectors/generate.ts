import { createHash } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';

import { aeadSeal } from '#operator/envelope/aead.ts';
import {
  associatedData,
  authenticatedHeader,
  parseHeader,
  serializeHeader,
  type Envelope,
  type EnvelopeContext,
  type EnvelopeHeader,
} from '#operator/envelope/format.ts';
import { deriveEnvelopeKeys, headerMac } from '#operator/envelope/key-schedule.ts';
import { LocalKekWrapper, localKek } from '#operator/envelope/local-kek.ts';
import { encodePayload } from '#operator/envelope/payload.ts';
import type { Randomness } from '#operator/envelope/randomness.ts';
import { rewrapHeader } from '#operator/envelope/rewrap.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import { vectorFolder, writeVector, type EnvelopeVector } from './format.ts';

/** Makes the published vectors: `node test/unit/envelope/vectors/generate.ts`. Nothing in them is random. */

type Kek = EnvelopeVector['keks'][number];

const context: EnvelopeContext = {
  cluster: '5b0d7c1e-5c7b-4b53-9d0f-3a1f8f6d2c11',
  org: 'default',
  ns: 'team-a',
  name: 'github-mfrggzdfmztwq2lk',
  iss: 'https://idp.example.com/realms/staff',
  sub: 'f9c2d3a0-alice',
  server: '0d9f2f0a-7b63-4f0e-8d8b-1f4d9a6e7c55',
  slot: 'authorization,x-workspace',
  gen: 7,
};
const { slot: _slot, gen: _gen, ...expected } = context;
const fields = [
  { name: 'Authorization', value: Buffer.from('an-example-token-0123456789') },
  { name: 'X-Workspace', value: Buffer.from('acme') },
];
const now = new Date('2026-11-24T00:00:00.000Z');
const oldKek: Kek = { kid: 'local-0000000a', key: digest('old kek') };
const newKek: Kek = { kid: 'local-0000000b', key: digest('new kek') };

function digest(label: string): Buffer {
  return createHash('sha256').update(label).digest();
}

/** SHA-256 over label and counter, as a stream. */
function deterministic(label: string): Randomness {
  let counter = 0;
  return (target) => {
    for (let offset = 0; offset < target.byteLength; offset += 32) {
      target.set(digest(`${label} ${counter++}`).subarray(0, target.byteLength - offset), offset);
    }
  };
}

function wrapperOf(label: string, ...keks: readonly [Kek, ...Kek[]]): LocalKekWrapper {
  const set = new Map(keks.map(({ kid, key }) => [kid, localKek(SecretBytes.takeFrom(Buffer.from(key)))]));
  return new LocalKekWrapper(() => ({ currentKid: keks[0].kid, keks: set }), deterministic(`${label} wrap`));
}

const payloadOf = (list: typeof fields) =>
  encodePayload(list.map(({ name, value }) => ({ name, value: SecretBytes.takeFrom(Buffer.from(value)) })));

async function sealed(
  label: string,
  payload = payloadOf(fields),
  { kek = oldKek, at = context }: { readonly kek?: Kek; readonly at?: EnvelopeContext } = {},
): Promise<Envelope> {
  return sealEnvelope(payload, at, { wrappers: [wrapperOf(label, kek)], randomness: deterministic(label), now });
}

type Draft = Omit<EnvelopeVector, 'name' | 'keks' | 'expected'> & Partial<EnvelopeVector>;
const vector = (name: string, draft: Draft): EnvelopeVector => ({ name, keks: [oldKek], expected, ...draft });

const good = await sealed('basic');
const goodHeader = parseHeader(good.header);
const ending = await sealed('ending', payloadOf(fields), {
  at: { ...context, exp: [1_795_651_200_000, 0], det: [1_798_243_200_000, 1_800_000_000_000] },
});

function text(change: (json: string) => string): Buffer {
  return Buffer.from(change(good.header.toString()));
}

function flipped(bytes: Buffer, index: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[index]! ^= 1;
  return copy;
}

/** A header whose MAC is right although `change` made something else in it wrong: what a holder of the seed could forge. */
async function resigned(change: Partial<EnvelopeHeader>): Promise<Buffer> {
  const unsigned = { ...goodHeader, ...change };
  using seed = (await wrapperOf('', oldKek).unwrap(goodHeader.wrappedSeeds, context))!;
  using keys = deriveEnvelopeKeys({ seed, salt: unsigned.salt, context: unsigned.context });
  return serializeHeader({ ...unsigned, mac: headerMac(keys, authenticatedHeader(unsigned)) });
}

/** Any payload, sealed to fit a header that is good but for `change`. */
async function sealedRaw(payload: Buffer, change: Partial<EnvelopeHeader> = {}): Promise<Envelope> {
  using seed = (await wrapperOf('', oldKek).unwrap(goodHeader.wrappedSeeds, context))!;
  using keys = deriveEnvelopeKeys({ seed, salt: goodHeader.salt, context });
  const sealing = { key: keys.encryption.bytes, associatedData: associatedData({ ...goodHeader, ...change }) };
  return {
    header: await resigned(change),
    ciphertext: aeadSeal(sealing, digest('raw').subarray(0, 12), SecretBytes.takeFrom(payload)),
  };
}

async function positive(): Promise<readonly EnvelopeVector[]> {
  const opened = { expect: 'success', payload: Buffer.from(payloadOf(fields).bytes), fields } as const;
  const rewrapped = await rewrapHeader(good.header, {
    from: [wrapperOf('', oldKek)],
    to: [wrapperOf('rewrap', newKek)],
  });
  const both = await rewrapHeader(good.header, {
    from: [wrapperOf('', oldKek)],
    to: [wrapperOf('both old', oldKek), wrapperOf('both new', newKek)],
  });
  const empty: typeof fields = [];
  const none = await sealed('empty', payloadOf(empty));
  const long = [{ name: 'X-Long', value: Buffer.alloc(8_192, 'k') }];
  const longest = await sealed('long', payloadOf(long));
  return [
    vector('opens', { ...opened, ...good, why: 'two headers under one local KEK' }),
    vector('opens-with-several-kek-versions', {
      ...opened,
      ...good,
      keks: [newKek, oldKek],
      why: 'the key id names the KEK',
    }),
    vector('opens-after-rewrap', {
      ...opened,
      header: rewrapped,
      ciphertext: good.ciphertext,
      keks: [newKek],
      why: 'the same ciphertext, seed under another KEK',
    }),
    vector('opens-under-either-kek', {
      ...opened,
      header: both,
      ciphertext: good.ciphertext,
      keks: [newKek],
      why: 'two wrapped seeds',
    }),
    vector('opens-with-ends', { ...opened, ...ending, why: 'declared and detected ends of values' }),
    vector('opens-without-headers', {
      ...none,
      expect: 'success',
      payload: Buffer.from(payloadOf(empty).bytes),
      fields: empty,
      why: 'an empty list fills one bucket',
    }),
    vector('opens-the-longest-value', {
      ...longest,
      expect: 'success',
      payload: Buffer.from(payloadOf(long).bytes),
      fields: long,
      why: 'a value of 8192 bytes',
    }),
  ];
}

function negativeEnds(): readonly EnvelopeVector[] {
  const from = '"exp":[1795651200000,0]';
  const header = (name: string, ...[expect, why, to]: readonly [EnvelopeVector['expect'], string, string]) => {
    const edited = Buffer.from(ending.header.toString().replace(from, to));
    return vector(name, { expect, why, header: edited, ciphertext: ending.ciphertext });
  };
  const invalid = 'ERR_ENVELOPE_CONTEXT_INVALID';
  const malformed = 'ERR_ENVELOPE_HEADER_MALFORMED';
  return [
    header('end-edited', 'ERR_ENVELOPE_NOT_AUTHENTIC', 'made to last longer', '"exp":[1895651200000,0]'),
    header('end-moved', 'ERR_ENVELOPE_NOT_AUTHENTIC', 'the end given to another header', '"exp":[0,1795651200000]'),
    vector('ends-removed', {
      expect: 'ERR_ENVELOPE_NOT_AUTHENTIC',
      why: 'made to last for ever',
      header: Buffer.from(ending.header.toString().replace(`${from},`, '')),
      ciphertext: ending.ciphertext,
    }),
    vector('ends-added', {
      expect: 'ERR_ENVELOPE_NOT_AUTHENTIC',
      why: 'made to end',
      header: text((t) => t.replace('"gen":7', `${from},"gen":7`)),
      ciphertext: good.ciphertext,
    }),
    header('ends-too-few', invalid, 'fewer ends than headers', '"exp":[1795651200000]'),
    header('ends-all-unknown', invalid, 'the field says nothing', '"exp":[0,0]'),
    header('end-beyond-9999', invalid, 'the year 10000', '"exp":[253402300800000,0]'),
    header('end-negative', invalid, 'before 1970', '"exp":[-1,1795651200000]'),
    header('end-of-half-a-millisecond', invalid, 'not whole', '"exp":[1795651200000.5,0]'),
    header('ends-as-text', malformed, 'a text', '"exp":"1795651200000,0"'),
    header('end-as-text', malformed, 'a text in the list', '"exp":["1795651200000",0]'),
  ];
}

function negativeFormat(): readonly EnvelopeVector[] {
  const header = (name: string, ...[expect, why, bytes]: readonly [EnvelopeVector['expect'], string, Buffer]) =>
    vector(name, { expect, why, header: bytes, ciphertext: good.ciphertext });
  const malformed = 'ERR_ENVELOPE_HEADER_MALFORMED';
  return [
    header(
      'version-unknown',
      'ERR_ENVELOPE_VERSION_UNKNOWN',
      'v is 2',
      text((t) => t.replace('"v":1', '"v":2')),
    ),
    header(
      'version-as-text',
      'ERR_ENVELOPE_VERSION_UNKNOWN',
      'v is "1"',
      text((t) => t.replace('"v":1', '"v":"1"')),
    ),
    header(
      'suite-unknown',
      'ERR_ENVELOPE_SUITE_UNKNOWN',
      'another suite',
      text((t) => t.replace('HC1', 'HC2')),
    ),
    header(
      'field-unknown',
      'ERR_ENVELOPE_FIELD_UNKNOWN',
      'one field more',
      text((t) => t.replace('{', '{"a":1,')),
    ),
    header(
      'field-unknown-in-context',
      'ERR_ENVELOPE_FIELD_UNKNOWN',
      'one field more in ctx',
      text((t) => t.replace('"ctx":{', '"ctx":{"a":"1",')),
    ),
    header(
      'field-unknown-in-kek',
      'ERR_ENVELOPE_FIELD_UNKNOWN',
      'one field more in keks',
      text((t) => t.replace('"keks":[{', '"keks":[{"a":"1",')),
    ),
    header(
      'field-missing',
      malformed,
      'no salt',
      text((t) => t.replace(/"salt":"[^"]*",/, '')),
    ),
    header(
      'not-canonical-space',
      malformed,
      'a space',
      text((t) => t.replace('{', '{ ')),
    ),
    header(
      'not-canonical-order',
      malformed,
      'v comes first',
      text((t) => t.replace(',"v":1', '').replace('{', '{"v":1,')),
    ),
    header(
      'not-canonical-escape',
      malformed,
      'a letter written as an escape',
      text((t) => t.replace('team-a', String.raw`te\u0061m-a`)),
    ),
    header(
      'not-canonical-number',
      malformed,
      'gen is 7.0',
      text((t) => t.replace('"gen":7', '"gen":7.0')),
    ),
    header(
      'field-twice',
      malformed,
      'gen twice',
      text((t) => t.replace('"gen":7', '"gen":6,"gen":7')),
    ),
    header(
      'base64-not-canonical',
      malformed,
      'unused bits set',
      text((t) => t.replace(/(?<="salt":"[^"]{42}).=/, 'B=')),
    ),
    header(
      'salt-short',
      malformed,
      'a salt of 31 bytes',
      text((t) => t.replace(/"salt":"[^"]*"/, `"salt":"${Buffer.alloc(31).toString('base64')}"`)),
    ),
    header(
      'keks-empty',
      malformed,
      'nobody could open it',
      text((t) => t.replace(/"keks":\[[^\]]*\]/, '"keks":[]')),
    ),
    header('not-utf8', malformed, 'a stray byte', Buffer.concat([good.header, Buffer.from([0xff])])),
    header('not-json', malformed, 'cut off', good.header.subarray(0, -1)),
    header(
      'byte-order-mark',
      malformed,
      'a byte order mark',
      Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), good.header]),
    ),
    header('empty-header', malformed, 'no bytes', Buffer.alloc(0)),
    header(
      'header-too-large',
      'ERR_ENVELOPE_HEADER_TOO_LARGE',
      '4097 bytes',
      Buffer.concat([good.header, Buffer.alloc(4_097 - good.header.byteLength, ' ')]),
    ),
    header(
      'generation-zero',
      'ERR_ENVELOPE_CONTEXT_INVALID',
      'gen is 0',
      text((t) => t.replace('"gen":7', '"gen":0')),
    ),
  ];
}

async function negativeCrypto(): Promise<readonly EnvelopeVector[]> {
  const notAuthentic = 'ERR_ENVELOPE_NOT_AUTHENTIC';
  const badPadding = Buffer.from(payloadOf(fields).bytes);
  badPadding[badPadding.byteLength - 1] = 1;
  const overPadded = Buffer.concat([payloadOf(fields).bytes, Buffer.alloc(64)]);
  return [
    vector('kid-unknown', { ...good, expect: 'ERR_ENVELOPE_KEK_UNKNOWN', keks: [newKek], why: 'no trial decryption' }),
    vector('kek-wrong', {
      ...good,
      expect: notAuthentic,
      keks: [{ kid: oldKek.kid, key: newKek.key }],
      why: 'the right key id, another KEK',
    }),
    vector('other-user', {
      ...good,
      expect: 'ERR_ENVELOPE_CONTEXT_MISMATCH',
      expected: { ...expected, sub: 'mallory' },
      why: 'the Secret of another user',
    }),
    vector('other-cluster', {
      ...good,
      expect: 'ERR_ENVELOPE_CONTEXT_MISMATCH',
      expected: { ...expected, cluster: 'other' },
      why: 'restored elsewhere',
    }),
    vector('context-edited', {
      expect: notAuthentic,
      why: 'sub replaced in the header',
      header: text((t) => t.replace('f9c2d3a0-alice', 'mallory')),
      ciphertext: good.ciphertext,
      expected: { ...expected, sub: 'mallory' },
    }),
    vector('generation-edited', {
      expect: notAuthentic,
      why: 'gen raised',
      header: text((t) => t.replace('"gen":7', '"gen":8')),
      ciphertext: good.ciphertext,
    }),
    vector('created-edited', {
      expect: notAuthentic,
      why: 'made to look younger',
      header: text((t) => t.replace('2026-11-24', '2026-11-25')),
      ciphertext: good.ciphertext,
    }),
    vector('mac-wrong', {
      expect: notAuthentic,
      why: 'one bit of the MAC',
      header: serializeHeader({ ...goodHeader, mac: flipped(goodHeader.mac, 0) }),
      ciphertext: good.ciphertext,
    }),
    vector('commitment-wrong', {
      expect: notAuthentic,
      why: 'MAC and ciphertext are made to fit a commitment to another key',
      ...(await sealedRaw(Buffer.from(payloadOf(fields).bytes), { commitment: flipped(goodHeader.commitment, 0) })),
    }),
    vector('salt-of-another', {
      expect: notAuthentic,
      why: 'MAC made with another salt',
      header: await resigned({ salt: digest('salt') }),
      ciphertext: good.ciphertext,
    }),
    vector('wrapped-seed-wrong', {
      expect: notAuthentic,
      why: 'one bit of the wrapped seed',
      header: serializeHeader({
        ...goodHeader,
        wrappedSeeds: [{ ...goodHeader.wrappedSeeds[0]!, wrapped: flipped(goodHeader.wrappedSeeds[0]!.wrapped, 40) }],
      }),
      ciphertext: good.ciphertext,
    }),
    vector('nonce-wrong', {
      expect: notAuthentic,
      why: 'one bit of the nonce',
      header: good.header,
      ciphertext: flipped(good.ciphertext, 0),
    }),
    vector('ciphertext-wrong', {
      expect: notAuthentic,
      why: 'one bit of the ciphertext',
      header: good.header,
      ciphertext: flipped(good.ciphertext, 20),
    }),
    vector('tag-wrong', {
      expect: notAuthentic,
      why: 'one bit of the tag',
      header: good.header,
      ciphertext: flipped(good.ciphertext, good.ciphertext.byteLength - 1),
    }),
    vector('ciphertext-of-another', {
      expect: notAuthentic,
      why: 'same KEK, same place, another seal',
      header: good.header,
      ciphertext: (await sealed('another')).ciphertext,
    }),
    vector('ciphertext-cut', {
      expect: 'ERR_ENVELOPE_CIPHERTEXT_LENGTH',
      why: 'tag cut to 15 bytes',
      header: good.header,
      ciphertext: good.ciphertext.subarray(0, -1),
    }),
    vector('ciphertext-empty', {
      expect: 'ERR_ENVELOPE_CIPHERTEXT_LENGTH',
      why: 'no payload',
      header: good.header,
      ciphertext: Buffer.alloc(28),
    }),
    vector('padding-not-zero', {
      ...(await sealedRaw(badPadding)),
      expect: 'ERR_ENVELOPE_PAYLOAD_MALFORMED',
      why: 'authentic, but padded with a one',
    }),
    vector('padding-too-long', {
      ...(await sealedRaw(overPadded)),
      expect: 'ERR_ENVELOPE_PAYLOAD_MALFORMED',
      why: 'authentic, but one bucket too many',
    }),
    vector('payload-not-a-list', {
      ...(await sealedRaw(Buffer.alloc(64, 9))),
      expect: 'ERR_ENVELOPE_PAYLOAD_MALFORMED',
      why: 'authentic, but another list version',
    }),
  ];
}

/** Every vector by the name of its file. */
export async function makeVectors(): Promise<ReadonlyMap<string, string>> {
  const all = [...(await positive()), ...negativeFormat(), ...negativeEnds(), ...(await negativeCrypto())];
  return new Map(all.map((one) => [`${one.name}.txt`, writeVector(one)]));
}

if (import.meta.main) {
  for (const file of readdirSync(vectorFolder)) if (file.endsWith('.txt')) rmSync(`${vectorFolder}/${file}`);
  for (const [file, content] of await makeVectors()) writeFileSync(`${vectorFolder}/${file}`, content);
}
