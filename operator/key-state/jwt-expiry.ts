import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { slotTimeMsMax } from '#operator/envelope/slot-times.ts';

/** Longest payload that is looked into; a value is no longer than that. */
const payloadCharsMax = 8_192;
const dot = 0x2e;
const quote = 0x22;
const backslash = 0x5c;
const blank: ReadonlySet<number> = new Set(Buffer.from(' \t\r\n'));
const opening: ReadonlySet<number> = new Set(Buffer.from('{['));
const closing: ReadonlySet<number> = new Set(Buffer.from('}]'));
const afterName = 0x3a;
const claim = Buffer.from('exp');
const scheme = Buffer.from('bearer ');
const objectStart = Buffer.from('eyJ');
/** RFC 7519, 2: seconds since 1970, maybe with a fraction. */
const numericDate = /^\d{1,15}(?:\.\d{1,9})?(?:[eE]\+?\d{1,2})?$/u;
const numberCharsMax = 32;

/**
 * Pure. When a value that is a JSON Web Token says that it ends, in milliseconds since 1970; undefined for every other value. Nobody
 * checks its signature: its upstream does, and a user who says too early an end of their own key harms nobody else. It is read as
 * bytes, and only a number becomes a string.
 */
export function jwtExpiryMs(value: Uint8Array): number | undefined {
  const text = withoutScheme(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  const first = text.indexOf(dot);
  const second = text.indexOf(dot, first + 1);
  // Five parts are encrypted (JWE), and say nothing.
  if (first <= 0 || second <= first || text.includes(dot, second + 1)) return undefined;
  if (!text.subarray(0, objectStart.byteLength).equals(objectStart)) return undefined;
  const encoded = text.subarray(first + 1, second);
  if (encoded.byteLength > payloadCharsMax) return undefined;
  using payload = decodeBase64Url(encoded);
  return payload === undefined ? undefined : expiryIn(payload.bytes);
}

function withoutScheme(text: Buffer): Buffer {
  const start = text.subarray(0, scheme.byteLength);
  return start.toString('latin1').toLowerCase() === scheme.toString('latin1') ? text.subarray(scheme.byteLength) : text;
}

function expiryIn(json: Buffer): number | undefined {
  const digits = numberAt(json, claimOffset(json));
  if (digits === undefined || !numericDate.test(digits)) return undefined;
  const ms = Math.floor(Number(digits) * 1_000);
  return ms > 0 && ms <= slotTimeMsMax ? ms : undefined;
}

/** Where the value of the claim begins: of the outermost object only. */
function claimOffset(json: Buffer): number | undefined {
  let depth = 0;
  for (let at = 0; at < json.byteLength; at += 1) {
    const byte = json[at] ?? 0;
    if (opening.has(byte)) depth += 1;
    else if (closing.has(byte)) depth -= 1;
    if (byte !== quote) continue;
    const end = stringEnd(json, at + 1);
    const next = skipBlanks(json, end + 1);
    if (depth === 1 && json[next] === afterName && json.subarray(at + 1, end).equals(claim)) {
      return skipBlanks(json, next + 1);
    }
    at = end;
  }
  return undefined;
}

/** Offset of the quote that ends the string, or the end of all. */
function stringEnd(json: Buffer, start: number): number {
  let at = start;
  while (at < json.byteLength && json[at] !== quote) at += json[at] === backslash ? 2 : 1;
  return at;
}

function skipBlanks(json: Buffer, start: number): number {
  let at = start;
  while (blank.has(json[at] ?? 0)) at += 1;
  return at;
}

function numberAt(json: Buffer, start: number | undefined): string | undefined {
  if (start === undefined) return undefined;
  const text = json.subarray(start, start + numberCharsMax).toString('latin1');
  return /^[0-9.eE+-]+(?=[\s,}])/u.exec(text)?.[0];
}

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');

/** Between bytes and bytes: a string of a key could not be zeroed. */
function decodeBase64Url(text: Buffer): SecretBytes | undefined {
  const decoded = SecretBytes.alloc(Math.floor((text.byteLength * 3) / 4));
  let [bits, held, at] = [0, 0, 0];
  for (const character of text) {
    const digit = alphabet.indexOf(character);
    if (digit < 0) {
      decoded[Symbol.dispose]();
      return undefined;
    }
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    at = decoded.bytes.writeUInt8((held >> bits) & 0xff, at);
  }
  return decoded;
}
