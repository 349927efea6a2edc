import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

import { gcmOpen, gcmSeal, gcmSizes, type GcmInput } from './gcm.ts';
import { hkdfExpand, hkdfExtract } from './hkdf.ts';
import { offHeapBuffer } from './off-heap-buffer.ts';

/**
 * HPKE (RFC 9180), base mode, one message a context, with DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256. Both ends also get the
 * exporter, so that the answer needs no second key exchange. Requests use `AES-256-GCM`; the smaller suite is here because the
 * RFC's own vectors are made with it.
 */
const suites = {
  'AES-128-GCM': { aeadId: 0x0001, keyBytes: 16, cipher: 'aes-128-gcm' },
  'AES-256-GCM': { aeadId: 0x0002, keyBytes: 32, cipher: 'aes-256-gcm' },
} as const;

export type HpkeSuite = keyof typeof suites;

export const hpkeSizes = { key: 32, enc: 32, ...gcmSizes } as const;

const kemId = 0x0020;
const kdfId = 0x0001;
const modeBase = 0x00;
const secretBytes = 32;

/** One code without detail: a wrong key, a wrong `info` and an altered ciphertext look the same. */
export class HpkeError extends Error {
  readonly code: 'ERR_HPKE_OPEN' | 'ERR_HPKE_KEY';

  constructor(code: HpkeError['code']) {
    super(code === 'ERR_HPKE_OPEN' ? 'the message does not open' : 'not an X25519 key');
    this.name = 'HpkeError';
    this.code = code;
  }
}

export interface HpkeInput {
  readonly suite: HpkeSuite;
  /** Binds the context to an application (RFC 9180 section 5.1). */
  readonly info: Uint8Array;
  readonly associatedData: Uint8Array;
}

/** Secrets both ends share after one message; RFC 9180 section 5.3. */
export interface Exporter extends Disposable {
  /** A secret for `exporterContext`, the caller's to zero. */
  export(exporterContext: Uint8Array, lengthBytes: number): Buffer;
}

export interface HpkeSealed {
  readonly enc: Buffer;
  readonly ciphertext: Buffer;
  readonly exporter: Exporter;
}

export interface HpkeOpened {
  /** The caller's to zero. */
  readonly plaintext: Buffer;
  readonly exporter: Exporter;
}

export interface HpkeKeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: Buffer;
}

export function generateHpkeKeyPair(): HpkeKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: rawPublicKey(publicKey) };
}

/** Seals one message to `recipient`, the raw 32 bytes of an X25519 public key. `ephemeral` is for vectors only. */
export function hpkeSeal(
  recipient: Uint8Array,
  plaintext: Uint8Array,
  input: HpkeInput & { readonly ephemeral?: HpkeKeyPair },
): HpkeSealed {
  const { privateKey, publicKey: enc } = input.ephemeral ?? generateHpkeKeyPair();
  const shared = sharedSecret(privateKey, recipient, Buffer.concat([enc, recipient]));
  const schedule = keySchedule(shared, input);
  const ciphertext = gcmSeal(gcmInput(schedule, input), plaintext);
  schedule.key.fill(0);
  return { enc, ciphertext, exporter: schedule.exporter };
}

/** @throws HpkeError `ERR_HPKE_OPEN`, whatever is wrong with `enc` or the ciphertext. */
export function hpkeOpen(
  recipient: HpkeKeyPair,
  sealed: { readonly enc: Uint8Array; readonly ciphertext: Uint8Array },
  input: HpkeInput,
): HpkeOpened {
  const { enc, ciphertext } = sealed;
  if (enc.byteLength !== hpkeSizes.enc || ciphertext.byteLength < hpkeSizes.tag) throw new HpkeError('ERR_HPKE_OPEN');
  const shared = sharedSecret(recipient.privateKey, enc, Buffer.concat([enc, recipient.publicKey]));
  const schedule = keySchedule(shared, input);
  const plaintext = gcmOpen(gcmInput(schedule, input), ciphertext);
  schedule.key.fill(0);
  if (plaintext !== undefined) return { plaintext, exporter: schedule.exporter };
  schedule.exporter[Symbol.dispose]();
  throw new HpkeError('ERR_HPKE_OPEN');
}

function gcmInput({ key, baseNonce: nonce }: Schedule, { suite, associatedData }: HpkeInput): GcmInput {
  return { cipher: suites[suite].cipher, key, nonce, associatedData };
}

/** RFC 9180 section 4.1: Diffie-Hellman, then ExtractAndExpand over both public keys. */
function sharedSecret(privateKey: KeyObject, publicKey: Uint8Array, kemContext: Uint8Array): Buffer {
  const suiteId = Buffer.concat([Buffer.from('KEM'), uint16(kemId)]);
  const product = agree(privateKey, publicKey);
  const root = labeledExtract(suiteId, Buffer.alloc(0), ['eae_prk', product]);
  const secret = labeledExpand(suiteId, root, { label: 'shared_secret', info: kemContext, lengthBytes: secretBytes });
  product.fill(0);
  root.fill(0);
  return secret;
}

/** OpenSSL refuses points of small order (an all-zero result), as RFC 9180 section 7.1.4 asks. */
function agree(privateKey: KeyObject, publicKey: Uint8Array): Buffer {
  try {
    return diffieHellman({ privateKey, publicKey: x25519PublicKey(publicKey) });
  } catch {
    throw new HpkeError('ERR_HPKE_OPEN');
  }
}

interface Schedule {
  readonly key: Buffer;
  readonly baseNonce: Buffer;
  readonly exporter: Exporter;
}

/** RFC 9180 section 5.1, mode base: no pre-shared key. Takes `shared` over. The first message's nonce is the base nonce. */
function keySchedule(shared: Buffer, { suite, info }: HpkeInput): Schedule {
  const { aeadId, keyBytes } = suites[suite];
  const suiteId = Buffer.concat([Buffer.from('HPKE'), uint16(kemId), uint16(kdfId), uint16(aeadId)]);
  const empty = Buffer.alloc(0);
  const context = Buffer.concat([
    Uint8Array.of(modeBase),
    labeledExtract(suiteId, empty, ['psk_id_hash', empty]),
    labeledExtract(suiteId, empty, ['info_hash', info]),
  ]);
  const secret = labeledExtract(suiteId, shared, ['secret', empty]);
  const expand = (label: string, lengthBytes: number) =>
    labeledExpand(suiteId, secret, { label, info: context, lengthBytes });
  const [key, baseNonce] = [expand('key', keyBytes), expand('base_nonce', hpkeSizes.nonce)];
  const exporterSecret = expand('exp', secretBytes);
  shared.fill(0);
  secret.fill(0);
  return { key, baseNonce, exporter: exporterOf(suiteId, exporterSecret) };
}

function exporterOf(suiteId: Uint8Array, exporterSecret: Buffer): Exporter {
  return {
    export: (info, lengthBytes) => labeledExpand(suiteId, exporterSecret, { label: 'sec', info, lengthBytes }),
    [Symbol.dispose]: () => {
      exporterSecret.fill(0);
    },
  };
}

const versionLabel = Buffer.from('HPKE-v1');

function labeledExtract(suiteId: Uint8Array, salt: Uint8Array, [label, input]: readonly [string, Uint8Array]): Buffer {
  return hkdfExtract(salt, versionLabel, suiteId, Buffer.from(label), input);
}

function labeledExpand(
  suiteId: Uint8Array,
  pseudorandomKey: Uint8Array,
  { label, info, lengthBytes }: { readonly label: string; readonly info: Uint8Array; readonly lengthBytes: number },
): Buffer {
  return hkdfExpand(
    pseudorandomKey,
    [uint16(lengthBytes), versionLabel, suiteId, Buffer.from(label), info],
    lengthBytes,
  );
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

/** RFC 8410: what DER has before the 32 bytes of a key. Keys as bytes, because a JWK would be a string. */
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex');
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** @throws HpkeError `ERR_HPKE_KEY` */
export function x25519PublicKey(raw: Uint8Array): KeyObject {
  if (raw.byteLength !== hpkeSizes.key) throw new HpkeError('ERR_HPKE_KEY');
  return createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
}

/**
 * A key pair from the raw private key, which stays the caller's to zero.
 * @throws HpkeError `ERR_HPKE_KEY`
 */
export function hpkeKeyPair(raw: Uint8Array): HpkeKeyPair {
  if (raw.byteLength !== hpkeSizes.key) throw new HpkeError('ERR_HPKE_KEY');
  const der = offHeapBuffer(pkcs8Prefix.byteLength + hpkeSizes.key);
  der.set(pkcs8Prefix);
  der.set(raw, pkcs8Prefix.byteLength);
  try {
    const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    return { privateKey, publicKey: rawPublicKey(createPublicKey(privateKey)) };
  } finally {
    der.fill(0);
  }
}

/** The raw 32 bytes of a private key, the caller's to zero. */
export function rawPrivateKey(key: KeyObject): Buffer {
  const der = key.export({ format: 'der', type: 'pkcs8' });
  const raw = offHeapBuffer(hpkeSizes.key);
  raw.set(der.subarray(-hpkeSizes.key));
  der.fill(0);
  return raw;
}

function rawPublicKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(-hpkeSizes.key);
}
