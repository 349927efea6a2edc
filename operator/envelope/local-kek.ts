import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';

import { aeadOpen, aeadSeal } from './aead.ts';
import { EnvelopeError } from './errors.ts';
import { contextDigest, sealSizes, type EnvelopeContext, type WrappedSeed } from './format.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import type { Randomness } from './randomness.ts';
import { SecretBytes } from './secret-bytes.ts';

export const localProvider = 'local';
export const localKekBytes = 32;

const wrapLabel = Buffer.from('uke/v1/local-wrap');
const saltBytes = 16;
const wrappedBytes = saltBytes + sealSizes.nonce + sealSizes.seed + sealSizes.tag;

/** KEK versions by key id. All unwrap; only `currentKid` wraps. Key ids are never used again for another key. */
export interface LocalKekSet {
  readonly currentKid: string;
  readonly keks: ReadonlyMap<string, KeyObject>;
}

/** Takes the bytes over (they are zeroed) into memory outside the JavaScript heap. */
export function localKek(bytes: SecretBytes): KeyObject {
  using owned = bytes;
  if (owned.byteLength !== localKekBytes) throw new EnvelopeError('ERR_ENVELOPE_KEK_MALFORMED');
  return createSecretKey(owned.bytes);
}

/**
 * Wraps with AES-256-GCM under a key of its own for every seed, derived from KEK and a random salt: a KEK may then be used without
 * counting. The wrapped seed is bound to context and key id.
 *
 *     wrapped = salt(16) | nonce(12) | encrypted seed(32) | tag(16)
 */
export class LocalKekWrapper implements KeyWrapper {
  readonly #keks: () => LocalKekSet;
  readonly #randomness: Randomness;

  /** `keks` is asked at every call, so that a reload takes effect at once. */
  constructor(keks: () => LocalKekSet, randomness: Randomness) {
    this.#keks = keks;
    this.#randomness = randomness;
  }

  async wrap(seed: SecretBytes, context: EnvelopeContext): Promise<WrappedSeed> {
    const { currentKid: kid, keks } = this.#keks();
    const kek = keks.get(kid);
    if (kek === undefined) throw new EnvelopeError('ERR_ENVELOPE_KEK_UNKNOWN');
    const random = Buffer.allocUnsafeSlow(saltBytes + sealSizes.nonce);
    this.#randomness(random);
    const salt = random.subarray(0, saltBytes);
    using key = wrappingKey(kek, salt);
    const sealing = { key: key.bytes, associatedData: wrapData(kid, context) };
    const wrapped = Buffer.concat([salt, aeadSeal(sealing, random.subarray(saltBytes), seed)]);
    return { provider: localProvider, kid, wrapped };
  }

  async unwrap(wrapped: readonly WrappedSeed[], context: EnvelopeContext): Promise<SecretBytes | undefined> {
    const { keks } = this.#keks();
    const mine = wrapped.find((seed) => seed.provider === localProvider && keks.has(seed.kid));
    const kek = mine === undefined ? undefined : keks.get(mine.kid);
    if (mine === undefined || kek === undefined) return undefined;
    if (mine.wrapped.byteLength !== wrappedBytes) throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
    using key = wrappingKey(kek, mine.wrapped.subarray(0, saltBytes));
    const opening = { key: key.bytes, associatedData: wrapData(mine.kid, context) };
    return aeadOpen(opening, mine.wrapped.subarray(saltBytes));
  }
}

function wrappingKey(kek: KeyObject, salt: Uint8Array): SecretBytes {
  return SecretBytes.takeFrom(createHmac('sha256', kek).update(wrapLabel).update(salt).digest());
}

function wrapData(kid: string, context: EnvelopeContext): Buffer {
  return Buffer.concat([contextDigest(context), Buffer.from(kid)]);
}
