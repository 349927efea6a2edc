import type { CipherKey } from 'node:crypto';

import { gcmOpen, gcmSeal } from '#cli/contract/gcm.ts';

import { EnvelopeError } from './errors.ts';
import { sealSizes } from './format.ts';
import { SecretBytes } from './secret-bytes.ts';

const cipher = 'aes-256-gcm';

export interface AeadKey {
  readonly key: CipherKey;
  readonly associatedData: Uint8Array;
}

/** nonce || AES-256-GCM ciphertext || tag. */
export function aeadSeal(key: AeadKey, nonce: Uint8Array, plaintext: SecretBytes): Buffer {
  return Buffer.concat([nonce, gcmSeal({ ...key, cipher, nonce }, plaintext.bytes)]);
}

/** @throws EnvelopeError `ERR_ENVELOPE_NOT_AUTHENTIC` */
export function aeadOpen(key: AeadKey, sealed: Uint8Array): SecretBytes {
  const nonce = sealed.subarray(0, sealSizes.nonce);
  if (nonce.byteLength < sealSizes.nonce) throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
  const plaintext = gcmOpen({ ...key, cipher, nonce }, sealed.subarray(sealSizes.nonce));
  if (plaintext === undefined) throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
  return SecretBytes.takeFrom(plaintext);
}
