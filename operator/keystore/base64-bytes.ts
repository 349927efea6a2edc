import { offHeapBuffer } from '#cli/contract/off-heap-buffer.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';

/** Standard base64 between bytes and bytes: `Buffer` only does it through strings, and strings of key material cannot be zeroed. */

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const padding = 0x3d;
const invalid = 0xff;
const values = Buffer.alloc(256, invalid);
alphabet.forEach((character, value) => values.writeUInt8(value, character));

/** `undefined` when `text` is not base64. */
export function decodeBase64(text: Buffer): SecretBytes | undefined {
  if (text.byteLength % 4 !== 0) return undefined;
  const paddingChars = text.byteLength === 0 ? 0 : Number(text.at(-1) === padding) + Number(text.at(-2) === padding);
  const digits = text.subarray(0, text.byteLength - paddingChars);
  if (digits.some((character) => values.readUInt8(character) === invalid)) return undefined;
  const decoded = SecretBytes.alloc((text.byteLength / 4) * 3 - paddingChars);
  let [bits, held, at] = [0, 0, 0];
  for (const character of digits) {
    held = ((held << 6) | values.readUInt8(character)) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    at = decoded.bytes.writeUInt8((held >> bits) & 0xff, at);
  }
  return decoded;
}

/** The caller zeroes the result. */
export function encodeBase64(bytes: Uint8Array): Buffer {
  const text = offHeapBuffer(Math.ceil(bytes.byteLength / 3) * 4).fill(padding);
  let [bits, held, at] = [0, 0, 0];
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 6; bits -= 6) {
      at = text.writeUInt8(alphabet.readUInt8((held >> (bits - 6)) & 63), at);
    }
  }
  if (bits > 0) text.writeUInt8(alphabet.readUInt8((held << (6 - bits)) & 63), at);
  return text;
}
