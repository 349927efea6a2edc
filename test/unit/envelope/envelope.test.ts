import { createCipheriv } from 'node:crypto';
import { inspect } from 'node:util';

import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';

import { EnvelopeError } from '#operator/envelope/errors.ts';
import { parseHeader, serializeHeader, type EnvelopeContext } from '#operator/envelope/format.ts';
import { localKek } from '#operator/envelope/local-kek.ts';
import { openEnvelope } from '#operator/envelope/open.ts';
import { decodePayload, encodePayload, payloadBucketBytes } from '#operator/envelope/payload.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { rewrapHeader } from '#operator/envelope/rewrap.ts';
import { sealEnvelope } from '#operator/envelope/seal.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

import { context, expectedOf, options, sealOne, secret, wrapperOf } from './fixtures.ts';

const expected = expectedOf(context);
const wrapper = wrapperOf('local-00000001');
const headerName = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,30}$/).filter((name) => name !== '');
const headerLists = fc.uniqueArray(fc.record({ name: headerName, value: fc.uint8Array({ maxLength: 300 }) }), {
  maxLength: 16,
  selector: ({ name }) => name.toLowerCase(),
});
const contextText = fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }).filter((text) => text.isWellFormed());

async function codeOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof EnvelopeError) return error.code;
    throw error;
  }
  return 'success';
}

function encodedAgain(bytes: Uint8Array): string {
  using payload = secret(bytes);
  try {
    using again = encodePayload(decodePayload(payload));
    return again.bytes.toString('hex');
  } catch (error) {
    if (error instanceof EnvelopeError) return error.code;
    throw error;
  }
}

describe('sealing and opening', () => {
  test('opening gives what was sealed, whatever the headers and the context', async () => {
    const contexts = fc.record({
      cluster: contextText,
      org: contextText,
      ns: contextText,
      name: contextText,
      iss: contextText,
      sub: contextText,
      server: contextText,
      slot: contextText,
      gen: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    });
    await fc.assert(
      fc.asyncProperty(headerLists, contexts, async (headers, at: EnvelopeContext) => {
        using payload = encodePayload(headers.map(({ name, value }) => ({ name, value: secret(value) })));
        const sealed = await sealEnvelope(payload, at, options(wrapper));
        using opened = await openEnvelope(sealed, expectedOf(at), [wrapper]);
        const back = decodePayload(opened.payload).map(({ name, value }) => ({
          name,
          value: new Uint8Array(value.bytes),
        }));
        expect(back).toEqual(headers);
        expect(opened.header.context).toEqual(at);
        expect(serializeHeader(parseHeader(sealed.header)).equals(sealed.header)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('refuses every flipped bit of the header', async () => {
    const sealed = await sealOne(wrapper);
    for (let bit = 0; bit < sealed.header.byteLength * 8; bit += 1) {
      const header = Buffer.from(sealed.header);
      header[bit >> 3]! ^= 1 << (bit & 7);
      expect(await codeOf(() => openEnvelope({ ...sealed, header }, expected, [wrapper])), `bit ${bit}`).toMatch(
        /^ERR_/,
      );
    }
  });

  test('refuses every flipped bit of the ciphertext, always with the same error', async () => {
    const sealed = await sealOne(wrapper);
    for (let bit = 0; bit < sealed.ciphertext.byteLength * 8; bit += 1) {
      const ciphertext = Buffer.from(sealed.ciphertext);
      ciphertext[bit >> 3]! ^= 1 << (bit & 7);
      const code = await codeOf(() => openEnvelope({ ...sealed, ciphertext }, expected, [wrapper]));
      expect(code, `bit ${bit}`).toBe('ERR_ENVELOPE_NOT_AUTHENTIC');
    }
  });

  test.each(['cluster', 'org', 'ns', 'name', 'iss', 'sub', 'server'] as const)(
    'refuses an envelope of another %s, also when its header is edited to fit',
    async (field) => {
      const sealed = await sealOne(wrapper, 'example-token', { ...context, [field]: 'another' });
      expect(await codeOf(() => openEnvelope(sealed, expected, [wrapper]))).toBe('ERR_ENVELOPE_CONTEXT_MISMATCH');
      const parsed = parseHeader(sealed.header);
      const header = serializeHeader({ ...parsed, context });
      expect(await codeOf(() => openEnvelope({ ...sealed, header }, expected, [wrapper]))).toBe(
        'ERR_ENVELOPE_NOT_AUTHENTIC',
      );
    },
  );

  test.each([{ slot: 'authorization,x-other' }, { gen: 4 }])('refuses a header with an edited %o', async (change) => {
    const sealed = await sealOne(wrapper);
    const header = serializeHeader({ ...parseHeader(sealed.header), context: { ...context, ...change } });
    expect(await codeOf(() => openEnvelope({ ...sealed, header }, expected, [wrapper]))).toBe(
      'ERR_ENVELOPE_NOT_AUTHENTIC',
    );
  });

  test('takes a new seed, salt and nonce every time', async () => {
    const [one, two] = [await sealOne(wrapper), await sealOne(wrapper)];
    const [first, second] = [parseHeader(one.header), parseHeader(two.header)];
    expect(first.salt.equals(second.salt)).toBe(false);
    expect(first.commitment.equals(second.commitment)).toBe(false);
    expect(one.ciphertext.subarray(0, 12).equals(two.ciphertext.subarray(0, 12))).toBe(false);
  });

  test('shows the length of a key only to the bucket', async () => {
    const lengths = await Promise.all(
      ['a', 'a'.repeat(40), 'a'.repeat(46)].map(async (value) => (await sealOne(wrapper, value)).ciphertext.byteLength),
    );
    expect(new Set(lengths)).toEqual(new Set([payloadBucketBytes + 28]));
  });

  test('zeroes the plaintext that the cipher gave out before the tag was refused', async () => {
    const sealed = await sealOne(wrapper);
    const ciphertext = Buffer.from(sealed.ciphertext);
    ciphertext[ciphertext.byteLength - 1]! ^= 1;
    const fill = vi.spyOn(Buffer.prototype, 'fill');
    try {
      await codeOf(() => openEnvelope({ ...sealed, ciphertext }, expected, [wrapper]));
      const zeroed = fill.mock.contexts as Buffer[];
      expect(zeroed.some((bytes) => bytes.byteLength === payloadBucketBytes && bytes.every((byte) => byte === 0))).toBe(
        true,
      );
    } finally {
      fill.mockRestore();
    }
  });

  test('refuses to seal without a KEK or with too many', async () => {
    using payload = encodePayload([]);
    const sealWith = async (count: number) =>
      sealEnvelope(payload, context, options(...Array.from({ length: count }, () => wrapper)));
    expect(await codeOf(() => sealWith(0))).toBe('ERR_ENVELOPE_KEK_UNKNOWN');
    expect(await codeOf(() => sealWith(5))).toBe('ERR_ENVELOPE_KEK_UNKNOWN');
  });

  test.each([{ sub: '' }, { sub: 'x'.repeat(513) }, { sub: '\ud800' }, { gen: 0 }, { gen: 1.5 }, { gen: 2 ** 53 }])(
    'refuses to seal for an impossible context',
    async (change) => {
      expect(await codeOf(() => sealOne(wrapper, 'x', { ...context, ...change }))).toBe('ERR_ENVELOPE_CONTEXT_INVALID');
    },
  );

  test('errors say nothing about the envelope', async () => {
    const sealed = await sealOne(wrapper);
    const ciphertext = Buffer.alloc(sealed.ciphertext.byteLength);
    const error: unknown = await openEnvelope({ ...sealed, ciphertext }, expected, [wrapper]).catch(
      (caught: unknown) => caught,
    );
    expect(error).toMatchObject({ code: 'ERR_ENVELOPE_NOT_AUTHENTIC', message: 'the envelope does not open' });
    expect((error as Error).cause).toBeUndefined();
  });
});

describe('key-encryption keys', () => {
  test('wrap under the current version and unwrap under any', async () => {
    const both = wrapperOf('local-00000002', 'local-00000001');
    const sealed = await sealOne(both);
    expect(parseHeader(sealed.header).wrappedSeeds.map((seed) => seed.kid)).toEqual(['local-00000002']);
    using opened = await openEnvelope(sealed, expected, [wrapperOf('local-00000009'), both]);
    expect(opened.payload.byteLength).toBe(payloadBucketBytes);
  });

  test('are never tried: another key id is unknown even when the bytes would fit', async () => {
    const bytes = Buffer.alloc(32, 7);
    const { LocalKekWrapper } = await import('#operator/envelope/local-kek.ts');
    const under = (kid: string) =>
      new LocalKekWrapper(
        () => ({ currentKid: kid, keks: new Map([[kid, localKek(secret(bytes))]]) }),
        systemRandomness,
      );
    const sealed = await sealOne(under('local-00000001'));
    expect(await codeOf(() => openEnvelope(sealed, expected, [under('local-00000002')]))).toBe(
      'ERR_ENVELOPE_KEK_UNKNOWN',
    );
    using opened = await openEnvelope(sealed, expected, [under('local-00000001')]);
    expect(opened.header.context.gen).toBe(3);
  });

  test('resolve undefined when nothing is addressed to them', async () => {
    expect(
      await wrapper.unwrap([{ provider: 'kmsv2:prod', kid: 'local-00000001', wrapped: Buffer.alloc(76) }], context),
    ).toBeUndefined();
  });

  test('refuse a wrapped seed that is addressed to them and of another place', async () => {
    using seed = SecretBytes.alloc(32);
    const wrapped = await wrapper.wrap(seed, context);
    expect(await codeOf(() => wrapper.unwrap([wrapped], { ...context, sub: 'mallory' }))).toBe(
      'ERR_ENVELOPE_NOT_AUTHENTIC',
    );
    const short = { ...wrapped, wrapped: wrapped.wrapped.subarray(1) };
    expect(await codeOf(() => wrapper.unwrap([short], context))).toBe('ERR_ENVELOPE_NOT_AUTHENTIC');
  });

  test('take over their bytes and have only one length', () => {
    const bytes = SecretBytes.alloc(32);
    const view = bytes.bytes.fill(7);
    localKek(bytes);
    expect(view.every((byte) => byte === 0)).toBe(true);
    expect(() => localKek(SecretBytes.alloc(16))).toThrow(
      expect.objectContaining({ code: 'ERR_ENVELOPE_KEK_MALFORMED' }),
    );
  });
});

describe('rewrapping', () => {
  const other = wrapperOf('local-0000000b');

  test('moves the seed to another KEK and leaves the payload alone', async () => {
    const sealed = await sealOne(wrapper);
    const header = await rewrapHeader(sealed.header, { from: [wrapper], to: [other] });
    using opened = await openEnvelope({ ...sealed, header }, expected, [other]);
    const [field] = decodePayload(opened.payload);
    expect(field?.value.bytes.equals(Buffer.from('example-token'))).toBe(true);
    expect(await codeOf(() => openEnvelope({ ...sealed, header }, expected, [wrapper]))).toBe(
      'ERR_ENVELOPE_KEK_UNKNOWN',
    );
  });

  test('does not make a forged header authentic', async () => {
    const sealed = await sealOne(wrapper);
    const forged = serializeHeader({ ...parseHeader(sealed.header), context: { ...context, gen: 9 } });
    expect(await codeOf(() => rewrapHeader(forged, { from: [wrapper], to: [other] }))).toBe(
      'ERR_ENVELOPE_NOT_AUTHENTIC',
    );
  });
});

describe('payloads', () => {
  test.each([
    ['too many headers', Array.from({ length: 17 }, (_, index) => ({ name: `X-${index}`, value: secret('a') }))],
    ['a value of more than 8192 bytes', [{ name: 'X-A', value: secret('a'.repeat(8_193)) }]],
    [
      'more than 64 KiB',
      Array.from({ length: 9 }, (_, index) => ({ name: `X-${index}`, value: secret('a'.repeat(8_192)) })),
    ],
    ['a name that is no header name', [{ name: 'X A', value: secret('a') }]],
    ['one name in two spellings', ['X-A', 'x-a'].map((name) => ({ name, value: secret('a') }))],
  ])('cannot hold %s', (_what, headers) => {
    expect(() => encodePayload(headers)).toThrow(expect.objectContaining({ code: 'ERR_ENVELOPE_PAYLOAD_INVALID' }));
  });

  test('parse strictly: any bytes are either a list that encodes to the same bytes, or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 192 }), (bytes) => {
        expect(encodedAgain(bytes)).toBeOneOf(['ERR_ENVELOPE_PAYLOAD_MALFORMED', Buffer.from(bytes).toString('hex')]);
      }),
    );
  });
});

describe('headers', () => {
  test('parsing random JSON and random bytes gives one of our errors, never another', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json().map((text) => Buffer.from(text)),
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        ),
        (bytes) => {
          expect(() => parseHeader(bytes)).toThrow(EnvelopeError);
        },
      ),
    );
  });
});

describe('secret bytes', () => {
  test('do not print, and are zero and unusable after their end', () => {
    const bytes = secret('example-token');
    const view = bytes.bytes;
    expect(`${String(bytes)} ${JSON.stringify({ bytes })} ${inspect(bytes)}`).not.toContain('example-token');
    bytes[Symbol.dispose]();
    expect(view.every((byte) => byte === 0)).toBe(true);
    expect(() => bytes.bytes).toThrow('zeroed');
  });

  test('live outside the shared pool, and so does what the cipher gives out', () => {
    expect(SecretBytes.alloc(8).bytes.buffer.byteLength).toBe(8);
    const cipher = createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12), { authTagLength: 16 });
    expect(cipher.update(Buffer.alloc(64)).buffer.byteLength).toBe(64);
  });
});
