import { createCipheriv, createDecipheriv, type CipherKey } from 'node:crypto';

import { overwriteFreedBlock } from './off-heap-buffer.ts';

export const gcmSizes = { nonce: 12, tag: 16 } as const;

const authTagLength = gcmSizes.tag;

export interface GcmInput {
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm';
  readonly key: CipherKey;
  readonly nonce: Uint8Array;
  readonly associatedData: Uint8Array;
}

/** Ciphertext and tag. */
export function gcmSeal({ cipher, key, nonce, associatedData }: GcmInput, plaintext: Uint8Array): Buffer {
  const sealing = createCipheriv(cipher, key, nonce, { authTagLength });
  sealing.setAAD(associatedData);
  const encrypted = sealing.update(plaintext);
  sealing.final();
  return Buffer.concat([encrypted, sealing.getAuthTag()]);
}

/**
 * The plaintext, for the caller to zero, or `undefined` when it is not authentic. `update` gives plaintext out before `final` has
 * checked the tag; nothing of it leaves here unchecked.
 */
export function gcmOpen({ cipher, key, nonce, associatedData }: GcmInput, sealed: Uint8Array): Buffer | undefined {
  if (sealed.byteLength < gcmSizes.tag) return undefined;
  const tagStart = sealed.byteLength - gcmSizes.tag;
  const opening = createDecipheriv(cipher, key, nonce, { authTagLength });
  opening.setAAD(associatedData);
  opening.setAuthTag(sealed.subarray(tagStart));
  const unchecked = opening.update(sealed.subarray(0, tagStart));
  overwriteFreedBlock(tagStart + decipherBlockBytes);
  try {
    opening.final();
    return unchecked;
  } catch {
    unchecked.fill(0);
    return undefined;
  }
}

/** Node lets OpenSSL write into a block that is one cipher block longer (GCM: a byte), copies it, and frees it as it is. */
const decipherBlockBytes = 1;
