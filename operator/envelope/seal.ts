import { aeadSeal } from './aead.ts';
import { EnvelopeError } from './errors.ts';
import {
  associatedData,
  authenticatedHeader,
  envelopeLimits,
  sealSizes,
  serializeHeader,
  type Envelope,
  type EnvelopeContext,
  type EnvelopeHeader,
} from './format.ts';
import { deriveEnvelopeKeys, headerMac, type EnvelopeKeys } from './key-schedule.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import type { Randomness } from './randomness.ts';
import { SecretBytes } from './secret-bytes.ts';

export interface SealOptions {
  /** One wrapped seed for each; usually one. */
  readonly wrappers: readonly KeyWrapper[];
  readonly randomness: Randomness;
  readonly now: Date;
}

/** Seals `payload` (`encodePayload`), which stays the caller's to zero. The seed lives as long as this call. */
export async function sealEnvelope(
  payload: SecretBytes,
  context: EnvelopeContext,
  { wrappers, randomness, now }: SealOptions,
): Promise<Envelope> {
  if (wrappers.length === 0 || wrappers.length > envelopeLimits.keksMax) {
    throw new EnvelopeError('ERR_ENVELOPE_KEK_UNKNOWN');
  }
  using seed = SecretBytes.alloc(sealSizes.seed);
  randomness(seed.bytes);
  const salt = Buffer.allocUnsafeSlow(sealSizes.salt);
  randomness(salt);
  const wrappedSeeds = await Promise.all(wrappers.map((wrapper) => wrapper.wrap(seed, context)));
  using keys = deriveEnvelopeKeys({ seed, salt, context });
  const nonce = Buffer.allocUnsafeSlow(sealSizes.nonce);
  randomness(nonce);
  const unsigned = { context, salt, commitment: keys.commitment, wrappedSeeds, created: now.toISOString() };
  const sealing = { key: keys.encryption.bytes, associatedData: associatedData(unsigned) };
  return { header: signHeader(unsigned, keys), ciphertext: aeadSeal(sealing, nonce, payload) };
}

export function signHeader(unsigned: Omit<EnvelopeHeader, 'mac'>, keys: EnvelopeKeys): Buffer {
  return serializeHeader({ ...unsigned, mac: headerMac(keys, authenticatedHeader(unsigned)) });
}
