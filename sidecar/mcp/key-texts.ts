import type { JsonText } from './json-text.ts';
import { emptyHash, hashByte } from './key-hash.ts';

/** A key's hash, and the place of its text between the quotes (see `KeyTexts`). */
export interface PlacedKey {
  readonly hash: number;
  readonly start: number;
  readonly end: number;
}

/** A key as it stands in the text. */
export interface ScannedKey extends PlacedKey {
  readonly escaped: boolean;
}

/** The keys of one text, byte for byte, so that two are the same key exactly when their bytes are. */
export class KeyTexts {
  readonly #text: JsonText;
  /** Keys that were written with escapes, without them. One that begins here at n has the place -1 - n. */
  readonly #unescaped: number[] = [];

  constructor(text: JsonText) {
    this.#text = text;
  }

  /** The key in the one form that all its spellings share. */
  place(key: ScannedKey): PlacedKey {
    if (!key.escaped) return key;
    const start = -1 - this.#unescaped.length;
    let hash = emptyHash;
    for (const byte of bytesOf(String(this.#text.value(key.start - 1, key.end + 1)))) {
      this.#unescaped.push(byte);
      hash = hashByte(hash, byte);
    }
    return { hash, start, end: -1 - this.#unescaped.length };
  }

  isSame(key: PlacedKey, start: number, end: number): boolean {
    const length = Math.abs(key.end - key.start);
    if (length !== Math.abs(end - start)) return false;
    for (let index = 0; index < length; index += 1) {
      if (this.#byteAt(key.start, index) !== this.#byteAt(start, index)) return false;
    }
    return true;
  }

  #byteAt(start: number, index: number): number | undefined {
    return start < 0 ? this.#unescaped[index - 1 - start] : this.#text.bytes[start + index];
  }
}

/** UTF-8, also of half a surrogate pair, which then is like no key that is written without escapes. */
function* bytesOf(text: string): Iterable<number> {
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) yield point;
    else yield* manyBytesOf(point);
  }
}

function* manyBytesOf(point: number): Iterable<number> {
  if (point < 0x8_00) yield 0xc0 | (point >> 6);
  else if (point < 0x1_00_00) yield* [0xe0 | (point >> 12), trailing(point >> 6)];
  else yield* [0xf0 | (point >> 18), trailing(point >> 12), trailing(point >> 6)];
  yield trailing(point);
}

function trailing(bits: number): number {
  return 0x80 | (bits & 0x3f);
}
