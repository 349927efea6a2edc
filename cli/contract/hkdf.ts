import { createHmac } from 'node:crypto';

import { offHeapBuffer } from './off-heap-buffer.ts';

/** HKDF-SHA256 in its two steps (RFC 5869). Results are buffers of their own, for the caller to zero. */

const hashBytes = 32;

/** RFC 5869 section 2.2. */
export function hkdfExtract(salt: Uint8Array, ...inputKeyParts: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', salt);
  for (const part of inputKeyParts) hmac.update(part);
  return hmac.digest();
}

/** RFC 5869 section 2.3. `info` may come in parts; they are read one after the other. */
export function hkdfExpand(pseudorandomKey: Uint8Array, info: readonly Uint8Array[], lengthBytes: number): Buffer {
  if (lengthBytes > 255 * hashBytes) throw new RangeError('HKDF-SHA256 gives at most 8160 bytes');
  const output = offHeapBuffer(lengthBytes);
  let previous = Buffer.alloc(0);
  for (let offset = 0, counter = 1; offset < lengthBytes; offset += hashBytes, counter += 1) {
    const hmac = createHmac('sha256', pseudorandomKey).update(previous);
    for (const part of info) hmac.update(part);
    const block = hmac.update(Uint8Array.of(counter)).digest();
    previous.fill(0);
    output.set(block.subarray(0, Math.min(hashBytes, lengthBytes - offset)), offset);
    previous = block;
  }
  previous.fill(0);
  return output;
}
