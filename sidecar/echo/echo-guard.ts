import { Buffer } from 'node:buffer';

import type { LeasedHeader } from '../contract/lease.ts';
import { findKey, type Found } from './find-key.ts';
import { anchorsOf, beginningBytesMax, formsOf, guardedCharsMin, type KeyForm } from './key-forms.ts';
import { bytesOf, codeOf, readChar } from './read-char.ts';

export interface Guarded {
  /** The same bytes where there was no key in them, else a copy of the same length. */
  readonly bytes: Uint8Array;
  readonly echoes: number;
  /** Where something begins that could become a key; `bytes.byteLength` when nothing does. */
  readonly holdFrom: number;
}

/** Finds keys in texts, in every form that a server sends them back in by mistake, and masks them. */
export class EchoGuard {
  readonly #keys: readonly string[];
  /** Undefined: every text has to be read, as there is nothing in these keys that could be looked for first. */
  readonly #anchors: readonly string[] | undefined;
  /** Made when they are first needed, which for most leases is never. */
  #forms: readonly KeyForm[] | undefined;

  private constructor(keys: readonly string[]) {
    this.#keys = keys;
    const anchors = keys.map(anchorsOf);
    this.#anchors = anchors.some((found) => found === undefined)
      ? undefined
      : [...new Set(anchors.flatMap((a) => a ?? []))];
  }

  /** Undefined when there is no key that is long enough to be looked for. */
  static of(headers: readonly LeasedHeader[]): EchoGuard | undefined {
    const keys = EchoGuard.keysOf(headers);
    return keys.length === 0 ? undefined : new EchoGuard(keys);
  }

  /** `keys` as `keysOf` gives them. */
  static ofKeys(keys: readonly string[]): EchoGuard {
    return new EchoGuard(keys);
  }

  /** The keys in these headers that are long enough to be looked for. */
  static keysOf(headers: readonly LeasedHeader[]): readonly string[] {
    const keys = headers.map(({ value, key }) => (key === undefined ? value : value.slice(key.start, key.end)));
    return [...new Set(keys)].filter((key) => key.length >= guardedCharsMin);
  }

  /** Longest tail that can be the beginning of a key. */
  get holdBytesMax(): number {
    return beginningBytesMax(this.#allForms());
  }

  /** `whole`: nothing comes after `bytes`. */
  mask(bytes: Uint8Array, whole: boolean): Guarded {
    const { byteLength: end } = bytes;
    const isSuspicious = this.#isSuspicious(bytes);
    const tailFrom = whole ? end : this.#tailFrom(bytes);
    if (!isSuspicious && tailFrom === end) return { bytes, echoes: 0, holdFrom: end };
    const text = { bytes, whole };
    const isEscaped = isSuspicious && hasNeedlessEscape(bytes);
    const searches = this.#allForms().map((form) => {
      const from = isEscaped ? 0 : isSuspicious ? Math.min(tailFrom, firstPlace(bytes, form)) : tailFrom;
      return findKey(text, form, from);
    });
    const places = merge(searches.flatMap(({ found }) => found));
    const holdFrom = searches.reduce((first, search) => Math.min(first, search.holdFrom), end);
    return { bytes: places.length === 0 ? bytes : masked(bytes, places), echoes: places.length, holdFrom };
  }

  #allForms(): readonly KeyForm[] {
    this.#forms ??= this.#keys.flatMap(formsOf);
    return this.#forms;
  }

  /** False when `text`, a character a byte, has surely no key in it; many times cheaper than to look for it. */
  mayHold(text: string): boolean {
    if (this.#anchors === undefined || text.includes('%') || text.includes(unicodeEscape)) return true;
    for (const anchor of this.#anchors) if (text.includes(anchor)) return true;
    return false;
  }

  #isSuspicious(bytes: Uint8Array): boolean {
    if (this.#anchors === undefined) return true;
    // Up to this size a string of it costs less than to begin so many searches.
    if (bytes.byteLength <= smallBytesMax && !this.mayHold(latin1(bytes))) return false;
    for (const anchor of this.#anchors) if (indexOf(bytes, anchor, 0) !== -1) return true;
    return hasNeedlessEscape(bytes);
  }

  /** Where the last stretch of bytes begins that can be part of a key: most texts end with one that cannot. */
  #tailFrom(bytes: Uint8Array): number {
    const end = bytes.byteLength;
    if (!this.#canBeInKey(bytes[end - 1])) return end;
    const first = Math.max(0, end - this.holdBytesMax);
    let from = end - 1;
    while (from > first && this.#canBeInKey(bytes[from - 1])) from -= 1;
    return from;
  }

  #canBeInKey(byte: number | undefined): boolean {
    if (byte === undefined) return false;
    if (isFormByte[byte] === 1) return true;
    const character = String.fromCharCode(byte);
    return this.#keys.some((key) => key.includes(character));
  }
}

/** Letters and digits, the rest of base64, and what escapes begin with. */
const isFormByte = new Uint8Array(256);
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_\\%'))
  isFormByte[byte] = 1;

const smallBytesMax = 4_096;
const unicodeEscape = String.raw`\u00`;

/** `bytes` need not be a Buffer, in both. */
function latin1(bytes: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(bytes, 0, bytes.byteLength);
}

function indexOf(bytes: Uint8Array, text: string, from: number): number {
  return Buffer.prototype.indexOf.call(bytes, text, from, 'latin1');
}

/** Where the form can begin at the earliest. */
function firstPlace(bytes: Uint8Array, form: KeyForm): number {
  if (form.anchor === '') return 0;
  const at = indexOf(bytes, form.anchor, 0);
  return at === -1 ? bytes.byteLength : Math.max(0, at - beginningBytesMax([form]));
}

/** Whether a letter or a digit is escaped, which no encoder has to do: then an anchor may be in the text without being seen. */
function hasNeedlessEscape(bytes: Uint8Array): boolean {
  const [percentAt, unicodeAt] = [indexOf(bytes, '%', 0), indexOf(bytes, unicodeEscape, 0)];
  if (percentAt === -1 && unicodeAt === -1) return false;
  const text = { bytes, whole: true };
  for (let at = firstOf(percentAt, unicodeAt); at < bytes.byteLength; at += 1) {
    const byte = bytes[at];
    if (byte !== percent && byte !== backslash) continue;
    const char = readChar(text, at, 'decoded');
    if (bytesOf(char) > 2 && isWord(codeOf(char))) return true;
    if (byte === backslash) at += bytesOf(char) - 1;
  }
  return false;
}

const percent = 0x25;
const backslash = 0x5c;

function firstOf(one: number, other: number): number {
  if (one === -1 || other === -1) return Math.max(one, other);
  return Math.min(one, other);
}

function isWord(code: number): boolean {
  const lower = code | 0x20;
  return (code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x7a);
}

/** In order, without overlaps: two forms of one key can be in the same place. */
function merge(found: readonly Found[]): readonly Found[] {
  const merged: Found[] = [];
  for (const place of found.toSorted((left, right) => left.start - right.start)) {
    const last = merged.at(-1);
    if (last === undefined || place.start >= last.end) merged.push(place);
    else merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, place.end) };
  }
  return merged;
}

const star = 0x2a;
const one = 0x31;
const numberBytes = new Set(Buffer.from('0123456789+-.eE'));

/** As long as it was, so that lengths and frames stay right; a number stays a number, so that JSON stays JSON. */
function masked(bytes: Uint8Array, places: readonly Found[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (const { start, end } of places) {
    const isNumber = copy.subarray(start, end).every((byte) => numberBytes.has(byte));
    copy.fill(isNumber ? one : star, start, end);
  }
  return copy;
}
