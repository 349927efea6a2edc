import {
  type HeaderField,
  HeaderListError,
  headerListByteLength,
  readHeaderList,
  writeHeaderList,
} from '#cli/contract/header-list.ts';

import { EnvelopeError } from './errors.ts';
import { SecretBytes } from './secret-bytes.ts';

/** Lengths of payloads are multiples of this, so that a ciphertext tells little about the length of a key. */
export const payloadBucketBytes = 64;
export const payloadBytesMax = 65_536;

export interface PayloadHeader {
  readonly name: string;
  readonly value: SecretBytes;
}

/**
 * The header list (`cli/contract/header-list.ts`) followed by zero bytes up to the next bucket.
 * @throws EnvelopeError `ERR_ENVELOPE_PAYLOAD_INVALID` for headers that are too many, too long, or twice there.
 */
export function encodePayload(headers: readonly PayloadHeader[]): SecretBytes {
  const fields: readonly HeaderField[] = headers.map(({ name, value }) => ({ name, value: value.bytes }));
  const lengthBytes = paddedLength(headerListByteLength(fields));
  if (lengthBytes > payloadBytesMax) throw new EnvelopeError('ERR_ENVELOPE_PAYLOAD_INVALID');
  const payload = SecretBytes.alloc(lengthBytes);
  try {
    writeHeaderList(fields, payload.bytes, 0);
  } catch (error) {
    payload[Symbol.dispose]();
    throw error instanceof HeaderListError ? new EnvelopeError('ERR_ENVELOPE_PAYLOAD_INVALID') : error;
  }
  return payload;
}

/**
 * Copies every value out of `payload`, which stays the caller's to zero.
 * @throws EnvelopeError `ERR_ENVELOPE_PAYLOAD_MALFORMED` also for a padding that is not zero or too long.
 */
export function decodePayload(payload: SecretBytes): readonly PayloadHeader[] {
  try {
    const { fields, end } = readHeaderList(payload.bytes);
    const padding = payload.bytes.subarray(end);
    if (payload.byteLength !== paddedLength(end) || padding.some((byte) => byte !== 0)) {
      throw new EnvelopeError('ERR_ENVELOPE_PAYLOAD_MALFORMED');
    }
    return fields.map(({ name, value }) => ({ name, value: copyOf(value) }));
  } catch (error) {
    throw error instanceof HeaderListError ? new EnvelopeError('ERR_ENVELOPE_PAYLOAD_MALFORMED') : error;
  }
}

function paddedLength(lengthBytes: number): number {
  return Math.ceil(lengthBytes / payloadBucketBytes) * payloadBucketBytes;
}

function copyOf(view: Uint8Array): SecretBytes {
  const copy = SecretBytes.alloc(view.byteLength);
  copy.bytes.set(view);
  return copy;
}
