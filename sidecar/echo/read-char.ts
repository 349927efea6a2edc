/**
 * What a byte of a text stands for, whatever encoders have done to it on the way: backslashes before it (JSON, and JSON inside
 * JSON), `\u0041`, `%41` and `%2541`. Backslashes themselves stand for nothing, so that a key is found at any depth of quoting.
 */

/** A character of ASCII and how many bytes it takes, in one number, as this is asked for each byte of a suspicious text. */
export type ReadChar = number;

/** The text ends within an escape. */
export const unfinished: ReadChar = -1;
/** Codes of what is no character of a key: whatever is not ASCII, and a backslash, which is passed over. */
export const noChar = 0;
export const passedOver = 0x5c;

/** `decoded`: escapes are read as well. `plain`: only backslashes are left out, so that `%` and digits may stand before a key. */
export type Reading = 'plain' | 'decoded';

/** Most bytes that one character takes. */
export const charBytesMax = 27;

/** Backslashes before one character, in JSON inside JSON inside JSON inside JSON. More of them are no quoting. */
const slashesMax = 16;
/** How often a `%` is encoded again. */
const percentNestingMax = 4;

const backslash = 0x5c;
const percent = 0x25;
const lowerU = 0x75;
const digit2 = 0x32;
const digit5 = 0x35;

export function codeOf(char: ReadChar): number {
  return char & 0xff;
}

export function bytesOf(char: ReadChar): number {
  return char >> 8;
}

/** `whole`: nothing comes after `bytes`, so that an escape which is cut off is none. */
export interface Text {
  readonly bytes: Uint8Array;
  readonly whole: boolean;
}

export function readChar(text: Text, at: number, reading: Reading): ReadChar {
  const { bytes, whole } = text;
  let next = at;
  while (bytes[next] === backslash && next - at < slashesMax) next += 1;
  const byte = bytes[next];
  if (byte === undefined) return whole ? pack(passedOver, next - at) : unfinished;
  if (byte === backslash) return pack(noChar, slashesMax);
  const escaped = reading === 'decoded' ? readEscape(text, next, next > at) : noEscape;
  if (escaped === unfinished) return unfinished;
  if (escaped !== noEscape) return pack(codeOf(escaped), bytesOf(escaped) + next - at);
  return pack(byte < 0x80 ? byte : noChar, next + 1 - at);
}

const noEscape: ReadChar = -2;

function pack(code: number, bytes: number): ReadChar {
  return (bytes << 8) | code;
}

function readEscape(text: Text, at: number, afterBackslash: boolean): ReadChar {
  const byte = text.bytes[at];
  if (byte === percent) return readPercent(text, at);
  return byte === lowerU && afterBackslash ? widened(readHex(text, at + 1, 4), 1) : noEscape;
}

/** The same character with the bytes that introduce it. */
function widened(char: ReadChar, bytes: number): ReadChar {
  return char < 0 ? char : pack(codeOf(char), bytesOf(char) + bytes);
}

/** `%41`, and `%2541` where it was encoded twice. */
function readPercent(text: Text, at: number): ReadChar {
  const { bytes } = text;
  let next = at + 1;
  for (let depth = 0; depth < percentNestingMax && bytes[next] === digit2 && bytes[next + 1] === digit5; depth += 1) {
    next += 2;
  }
  const found = readHex(text, next, 2);
  if (found !== noEscape) return widened(found, next - at);
  // `%25` with nothing to decode after it is a `%`.
  return next > at + 1 ? pack(percent, next - at) : noEscape;
}

function readHex({ bytes, whole }: Text, at: number, digits: number): ReadChar {
  let value = 0;
  for (let index = at; index < at + digits; index += 1) {
    const byte = bytes[index];
    if (byte === undefined) return whole ? noEscape : unfinished;
    const digit = hexDigit(byte);
    if (digit === undefined) return noEscape;
    value = value * 16 + digit;
  }
  return pack(value < 0x80 ? value : noChar, digits);
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}
