import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { hkdfExpand, hkdfExtract } from '#cli/contract/hkdf.ts';
import {
  generateHpkeKeyPair,
  hpkeKeyPair,
  hpkeOpen,
  hpkeSeal,
  rawPrivateKey,
  x25519PublicKey,
  type HpkeSuite,
} from '#cli/contract/hpke.ts';

interface RfcVector {
  readonly aead_id: number;
  readonly info: string;
  readonly skEm: string;
  readonly skRm: string;
  readonly pkEm: string;
  readonly pkRm: string;
  readonly enc: string;
  readonly encryptions: readonly [{ readonly aad: string; readonly ct: string; readonly pt: string }];
  readonly exports: readonly {
    readonly exporter_context: string;
    readonly L: number;
    readonly exported_value: string;
  }[];
}

const hex = (text: string) => Buffer.from(text, 'hex');
const suiteOf: Readonly<Record<number, HpkeSuite>> = { 1: 'AES-128-GCM', 2: 'AES-256-GCM' };
const vectorFile = resolve(import.meta.dirname, '../../vectors/hpke/rfc9180-x25519-base.json');
const { vectors } = JSON.parse(readFileSync(vectorFile, 'utf8')) as { readonly vectors: readonly RfcVector[] };

describe.each(vectors.map((vector) => [suiteOf[vector.aead_id]!, vector] as const))('RFC 9180, %s', (suite, vector) => {
  const [{ aad, ct, pt }] = vector.encryptions;
  const input = { suite, info: hex(vector.info), associatedData: hex(aad) };

  test('key pairs have the public keys of the vector', () => {
    expect(hpkeKeyPair(hex(vector.skRm)).publicKey.toString('hex')).toBe(vector.pkRm);
    expect(rawPrivateKey(hpkeKeyPair(hex(vector.skRm)).privateKey).toString('hex')).toBe(vector.skRm);
  });

  test('seals and exports to the bytes of the vector', () => {
    const ephemeral = hpkeKeyPair(hex(vector.skEm));
    const sealed = hpkeSeal(hex(vector.pkRm), hex(pt), { ...input, ephemeral });
    expect(sealed.enc.toString('hex')).toBe(vector.enc);
    expect(sealed.ciphertext.toString('hex')).toBe(ct);
    for (const { exporter_context: context, L, exported_value: value } of vector.exports) {
      expect(sealed.exporter.export(hex(context), L).toString('hex')).toBe(value);
    }
  });

  test('opens and exports to the bytes of the vector', () => {
    const sealed = { enc: hex(vector.enc), ciphertext: hex(ct) };
    const opened = hpkeOpen(hpkeKeyPair(hex(vector.skRm)), sealed, input);
    expect(opened.plaintext.toString('hex')).toBe(pt);
    for (const { exporter_context: context, L, exported_value: value } of vector.exports) {
      expect(opened.exporter.export(hex(context), L).toString('hex')).toBe(value);
    }
  });
});

describe('HPKE', () => {
  const recipient = generateHpkeKeyPair();
  const input = { suite: 'AES-256-GCM', info: Buffer.from('info'), associatedData: Buffer.from('aad') } as const;
  const sealed = hpkeSeal(recipient.publicKey, Buffer.from('a message'), input);
  const opens = { code: 'ERR_HPKE_OPEN', message: 'the message does not open' };

  test('both suites are proven by vectors', () => {
    expect(vectors.map((vector) => suiteOf[vector.aead_id])).toEqual(['AES-128-GCM', 'AES-256-GCM']);
  });

  test('opening gives what was sealed', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (plaintext, info, associatedData) => {
        const both = { suite: 'AES-256-GCM', info, associatedData } as const;
        const { plaintext: opened } = hpkeOpen(recipient, hpkeSeal(recipient.publicKey, plaintext, both), both);
        expect(new Uint8Array(opened)).toEqual(plaintext);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['another recipient', () => hpkeOpen(generateHpkeKeyPair(), sealed, input)],
    ['another info', () => hpkeOpen(recipient, sealed, { ...input, info: Buffer.from('other') })],
    ['other associated data', () => hpkeOpen(recipient, sealed, { ...input, associatedData: Buffer.from('other') })],
    ['another suite', () => hpkeOpen(recipient, sealed, { ...input, suite: 'AES-128-GCM' })],
    ['a short enc', () => hpkeOpen(recipient, { ...sealed, enc: sealed.enc.subarray(1) }, input)],
    ['a ciphertext shorter than a tag', () => hpkeOpen(recipient, { ...sealed, ciphertext: Buffer.alloc(15) }, input)],
    ['a point of small order', () => hpkeOpen(recipient, { ...sealed, enc: Buffer.alloc(32) }, input)],
    [
      'another point of small order',
      () => hpkeOpen(recipient, { ...sealed, enc: Buffer.alloc(32).fill(1, 0, 1) }, input),
    ],
  ])('refuses %s, always with the same error', (_what, open) => {
    expect(open).toThrow(expect.objectContaining(opens));
  });

  test('refuses every flipped bit of enc and ciphertext', () => {
    // X25519 ignores the top bit of a public key, but enc is also hashed into the shared secret.
    for (const field of ['enc', 'ciphertext'] as const) {
      for (let bit = 0; bit < sealed[field].byteLength * 8; bit += 1) {
        const changed = Buffer.from(sealed[field]);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => hpkeOpen(recipient, { ...sealed, [field]: changed }, input), `${field} ${bit}`).toThrow(
          expect.objectContaining(opens),
        );
      }
    }
  });

  test('will not seal to a point of small order or to what is no key', () => {
    expect(() => hpkeSeal(Buffer.alloc(32), Buffer.alloc(1), input)).toThrow(expect.objectContaining(opens));
    expect(() => hpkeKeyPair(Buffer.alloc(31))).toThrow(expect.objectContaining({ code: 'ERR_HPKE_KEY' }));
    expect(() => x25519PublicKey(Buffer.alloc(33))).toThrow(expect.objectContaining({ code: 'ERR_HPKE_KEY' }));
  });
});

describe('HKDF-SHA256, RFC 5869', () => {
  test.each([
    {
      name: 'A.1',
      ikm: '0b'.repeat(22),
      salt: '000102030405060708090a0b0c',
      info: 'f0f1f2f3f4f5f6f7f8f9',
      okm: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    },
    {
      name: 'A.3',
      ikm: '0b'.repeat(22),
      salt: '',
      info: '',
      okm: '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    },
  ])('gives the bytes of appendix $name', ({ ikm, salt, info, okm }) => {
    const root = hkdfExtract(hex(salt), hex(ikm));
    expect(hkdfExpand(root, [hex(info)], okm.length / 2).toString('hex')).toBe(okm);
  });

  test('refuses more than 255 blocks', () => {
    expect(() => hkdfExpand(Buffer.alloc(32), [], 8_161)).toThrow(RangeError);
  });
});
