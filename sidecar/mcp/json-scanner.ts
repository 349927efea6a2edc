import { type JsonKind, kindOf, type ObjectOutline } from './json-outline.ts';
import type { JsonText } from './json-text.ts';
import { emptyHash, hashByte } from './key-hash.ts';
import { depthMax, KeyList } from './key-list.ts';
import type { ScannedKey } from './key-texts.ts';
import { StringRuns } from './string-runs.ts';
import { unwatched } from './watched-keys.ts';

export type ScanProblem = 'Syntax' | 'TooDeep' | 'DuplicateKey';

/** What the methods below return instead of the position after what they read. */
const syntax = -1;
const tooDeep = -2;
const duplicateKey = -3;

const problems: Readonly<Record<number, ScanProblem>> = {
  [syntax]: 'Syntax',
  [tooDeep]: 'TooDeep',
  [duplicateKey]: 'DuplicateKey',
};

const quote = 0x22;
const plus = 0x2b;
const comma = 0x2c;
const minus = 0x2d;
const point = 0x2e;
const zero = 0x30;
const nine = 0x39;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const letterE = 0x65;
const letterU = 0x75;
const toLowerCase = 0x20;
const firstPrintable = 0x20;

/** What the scan is to remember: members of the root, and of the object that is its member number `innerOf`. */
export interface Watched {
  readonly root: ObjectOutline;
  readonly inner: ObjectOutline;
  readonly innerOf: number;
}

/**
 * Reads JSON (RFC 8259) in one pass over its bytes, which are known to be UTF-8, and builds no value of it. Beyond the end there is
 * `undefined`, which no comparison takes for part of a text.
 */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #watched: Watched;
  readonly #keys: KeyList;
  readonly #runs: StringRuns;
  readonly #key: { -readonly [K in keyof ScannedKey]: ScannedKey[K] } = { start: 0, end: 0, hash: 0, escaped: false };
  #inInner = false;
  #start = 0;

  constructor(text: JsonText, watched: Watched) {
    this.#bytes = text.bytes;
    this.#watched = watched;
    this.#keys = new KeyList(text);
    this.#runs = new StringRuns(text.bytes);
  }

  /** What is wrong with the text, if anything is. */
  scan(): ScanProblem | undefined {
    this.#start = this.#skipSpace(0);
    const end = this.#value(this.#start, 0);
    if (end < 0) return problems[end];
    return this.#skipSpace(end) === this.#bytes.length ? undefined : 'Syntax';
  }

  /** What the whole is, once it has been scanned. */
  get kind(): JsonKind {
    return kindOf(this.#bytes[this.#start]);
  }

  #skipSpace(start: number): number {
    const bytes = this.#bytes;
    let at = start;
    while (isSpace(bytes[at])) at += 1;
    return at;
  }

  #value(at: number, depth: number): number {
    const byte = this.#bytes[at];
    if (byte === quote) return this.#string(at);
    if (byte === openBrace) return this.#object(at, depth + 1);
    if (byte === openBracket) return this.#array(at, depth + 1);
    return byte === minus || isDigit(byte) ? this.#number(at) : this.#word(at);
  }

  #array(open: number, depth: number): number {
    if (depth > depthMax) return tooDeep;
    let at = this.#skipSpace(open + 1);
    if (this.#bytes[at] === closeBracket) return at + 1;
    for (;;) {
      at = this.#value(at, depth);
      if (at < 0) return at;
      at = this.#skipSpace(at);
      const byte = this.#bytes[at];
      if (byte === closeBracket) return at + 1;
      if (byte !== comma) return syntax;
      at = this.#skipSpace(at + 1);
    }
  }

  #object(open: number, depth: number): number {
    if (depth > depthMax) return tooDeep;
    let at = this.#skipSpace(open + 1);
    if (this.#bytes[at] === closeBrace) return at + 1;
    this.#keys.open();
    for (;;) {
      at = this.#member(at, depth);
      if (at < 0) return at;
      at = this.#skipSpace(at);
      const byte = this.#bytes[at];
      if (byte === closeBrace) break;
      if (byte !== comma) return syntax;
      at = this.#skipSpace(at + 1);
    }
    this.#keys.close();
    return at + 1;
  }

  #member(open: number, depth: number): number {
    let at = this.#readKey(open);
    if (at < 0) return at;
    if (!this.#keys.add(this.#key)) return duplicateKey;
    at = this.#skipSpace(at);
    if (this.#bytes[at] !== colon) return syntax;
    const start = this.#skipSpace(at + 1);
    if (depth === 1) return this.#rootMember(start);
    return depth === 2 && this.#inInner ? this.#watchedMember(this.#watched.inner, start) : this.#value(start, depth);
  }

  #rootMember(start: number): number {
    const { root, innerOf } = this.#watched;
    const index = root.meet(this.#key);
    this.#inInner = index === innerOf && this.#bytes[start] === openBrace;
    const end = this.#value(start, 1);
    this.#inInner = false;
    if (index !== unwatched) root.place(index, start, end);
    return end;
  }

  #watchedMember(outline: ObjectOutline, start: number): number {
    const index = outline.meet(this.#key);
    const end = this.#value(start, 2);
    if (index !== unwatched) outline.place(index, start, end);
    return end;
  }

  /** Leaves what there is to know of the key in `#key`. */
  #readKey(open: number): number {
    const bytes = this.#bytes;
    if (bytes[open] !== quote) return syntax;
    let hash = emptyHash;
    let escaped = false;
    for (let at = open + 1; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === quote) {
        const key = this.#key;
        key.start = open + 1;
        key.end = at;
        key.hash = hash;
        key.escaped = escaped;
        return at + 1;
      }
      if (byte < firstPrintable) return syntax;
      if (byte === backslash) {
        escaped = true;
        at = this.#escape(at);
        if (at < 0) return at;
      }
      hash = hashByte(hash, byte);
    }
    return syntax;
  }

  #string(open: number): number {
    let at = open + 1;
    for (;;) {
      at = this.#runs.endOf(at);
      const byte = this.#bytes[at];
      if (byte === quote) return at + 1;
      if (byte !== backslash) return syntax;
      at = this.#escape(at);
      if (at < 0) return at;
      at += 1;
    }
  }

  /** Position of the last byte of the escape that begins at `at`. */
  #escape(at: number): number {
    const byte = this.#bytes[at + 1];
    if (byte !== letterU) return isShortEscape(byte) ? at + 1 : syntax;
    for (let index = at + 2; index < at + 6; index += 1) if (!isHexDigit(this.#bytes[index])) return syntax;
    return at + 5;
  }

  #number(start: number): number {
    const bytes = this.#bytes;
    let at = bytes[start] === minus ? start + 1 : start;
    // No digit may follow a zero.
    at = bytes[at] === zero ? at + 1 : this.#digits(at);
    if (at >= 0 && bytes[at] === point) at = this.#digits(at + 1);
    return at >= 0 && isExponent(bytes[at]) ? this.#exponent(at + 1) : at;
  }

  #exponent(start: number): number {
    const sign = this.#bytes[start];
    return this.#digits(sign === plus || sign === minus ? start + 1 : start);
  }

  /** One digit at least. */
  #digits(start: number): number {
    const bytes = this.#bytes;
    let at = start;
    while (isDigit(bytes[at])) at += 1;
    return at === start ? syntax : at;
  }

  #word(start: number): number {
    for (const word of words) if (this.#isAt(start, word)) return start + word.length;
    return syntax;
  }

  #isAt(start: number, word: Uint8Array): boolean {
    for (let index = 0; index < word.length; index += 1) if (this.#bytes[start + index] !== word[index]) return false;
    return true;
  }
}

const words = ['true', 'false', 'null'].map((word) => new TextEncoder().encode(word));

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= zero && byte <= nine;
}

function isExponent(byte: number | undefined): boolean {
  return byte !== undefined && (byte | toLowerCase) === letterE;
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | toLowerCase;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}

const shortEscapes: ReadonlySet<number> = new Set(new TextEncoder().encode('"\\/bfnrt'));

function isShortEscape(byte: number | undefined): boolean {
  return byte !== undefined && shortEscapes.has(byte);
}
