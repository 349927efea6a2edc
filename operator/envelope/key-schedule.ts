import { createHmac, timingSafeEqual } from 'node:crypto';

import { hkdfExpand, hkdfExtract } from '#cli/contract/hkdf.ts';

import { contextDigest, sealSizes, type EnvelopeContext } from './format.ts';
import { SecretBytes } from './secret-bytes.ts';

const labels = {
  encryption: Buffer.from('uke/v1/enc'),
  commitment: Buffer.from('uke/v1/commit'),
  mac: Buffer.from('uke/v1/mac'),
} as const;

/**
 * Keys of one envelope. `commitment` goes into the header: AES-GCM alone would let one ciphertext open under two keys
 * (partitioning oracle), so it is compared before anything is decrypted.
 */
export interface EnvelopeKeys extends Disposable {
  readonly encryption: SecretBytes;
  readonly commitment: Buffer;
  readonly mac: SecretBytes;
}

export interface ScheduleInput {
  readonly seed: SecretBytes;
  readonly salt: Uint8Array;
  readonly context: EnvelopeContext;
}

/** Single use: a new seed and a new salt with every write, so there is no nonce budget to keep. */
export function deriveEnvelopeKeys({ seed, salt, context }: ScheduleInput): EnvelopeKeys {
  const digest = contextDigest(context);
  using root = SecretBytes.takeFrom(hkdfExtract(salt, seed.bytes));
  const encryption = SecretBytes.takeFrom(hkdfExpand(root.bytes, [labels.encryption, digest], 32));
  const mac = SecretBytes.takeFrom(hkdfExpand(root.bytes, [labels.mac], 32));
  return {
    encryption,
    mac,
    commitment: hkdfExpand(root.bytes, [labels.commitment, digest], sealSizes.commitment),
    [Symbol.dispose]: () => {
      encryption[Symbol.dispose]();
      mac[Symbol.dispose]();
    },
  };
}

export function headerMac(keys: EnvelopeKeys, authenticated: Uint8Array): Buffer {
  return createHmac('sha256', keys.mac.bytes).update(authenticated).digest();
}

/** Constant time for equal lengths; lengths are fixed by the header parser. */
export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}
