import { createCipheriv, createDecipheriv, type CipherKey } from 'node:crypto';

import { EnvelopeError } from './errors.ts';
import { sealSizes } from './format.ts';
import { SecretBytes } from './secret-bytes.ts';

const algorithm = 'aes-256-gcm';
const authTagLength = sealSizes.tag;

export interface AeadKey {
  readonly key: CipherKey;
  readonly associatedData: Uint8Array;
}

/** nonce || AES-256-GCM ciphertext || tag. */
export function aeadSeal({ key, associatedData }: AeadKey, nonce: Uint8Array, plaintext: SecretBytes): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength });
  cipher.setAAD(associatedData);
  const encrypted = cipher.update(plaintext.bytes);
  cipher.final();
  return Buffer.concat([nonce, encrypted, cipher.getAuthTag()]);
}

/**
 * `update` gives plaintext out before `final` has checked the tag; nothing of it leaves here unchecked.
 * @throws EnvelopeError `ERR_ENVELOPE_NOT_AUTHENTIC`
 */
export function aeadOpen({ key, associatedData }: AeadKey, sealed: Uint8Array): SecretBytes {
  if (sealed.byteLength < sealSizes.nonce + sealSizes.tag) throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
  const tagStart = sealed.byteLength - sealSizes.tag;
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, sealSizes.nonce), { authTagLength });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.subarray(tagStart));
  const unchecked = decipher.update(sealed.subarray(sealSizes.nonce, tagStart));
  try {
    decipher.final();
  } catch {
    unchecked.fill(0);
    throw new EnvelopeError('ERR_ENVELOPE_NOT_AUTHENTIC');
  }
  return SecretBytes.takeFrom(unchecked);
}
