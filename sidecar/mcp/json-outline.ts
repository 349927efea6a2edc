import type { JsonText } from './json-text.ts';
import type { ScannedKey } from './key-texts.ts';
import { unwatched, type WatchedKeys } from './watched-keys.ts';

const quote = 0x22;
const openBracket = 0x5b;
const openBrace = 0x7b;

export type JsonKind = 'object' | 'array' | 'string' | 'other';

/** What a value is, by the byte that it begins with. */
export function kindOf(byte: number | undefined): JsonKind {
  if (byte === openBrace) return 'object';
  if (byte === openBracket) return 'array';
  return byte === quote ? 'string' : 'other';
}

/**
 * Where the watched members of one object are in its text, each known by its index among the watched keys. Other members leave no
 * trace, however many there are.
 */
export class ObjectOutline {
  readonly #text: JsonText;
  readonly #keys: WatchedKeys;
  /** Start and end of each watched member's value, one after the other; 0 where there is none, as no value begins there. */
  readonly #ranges: Int32Array;
  /** A bit for each watched key that another key looks like. */
  #lookalikes = 0;

  constructor(text: JsonText, keys: WatchedKeys) {
    this.#text = text;
    this.#keys = keys;
    this.#ranges = new Int32Array(keys.names.length * 2);
  }

  /** Index of the watched member that a key begins, or `unwatched`. */
  meet(key: ScannedKey): number {
    const found = this.#keys.find(this.#text, key);
    if (found !== unwatched) return found;
    const alike = this.#keys.findAlike(this.#text, key);
    if (alike !== unwatched) this.#lookalikes |= 1 << alike;
    return unwatched;
  }

  place(index: number, start: number, end: number): void {
    this.#ranges[index * 2] = start;
    this.#ranges[index * 2 + 1] = end;
  }

  has(index: number): boolean {
    return this.#startOf(index) !== 0;
  }

  kindOf(index: number): JsonKind | undefined {
    const start = this.#startOf(index);
    return start === 0 ? undefined : kindOf(this.#text.bytes[start]);
  }

  /** The value of a member, parsed; `undefined` when there is none. */
  value(index: number): unknown {
    const start = this.#startOf(index);
    return start === 0 ? undefined : this.#text.value(start, this.#endOf(index));
  }

  /** Whether a member is the string `text`, which needs no escape. */
  is(index: number, text: string): boolean {
    const start = this.#startOf(index);
    const end = this.#endOf(index);
    // However it is escaped, it is the same string.
    return this.#text.isWritten(start, end, `"${text}"`) || this.value(index) === text;
  }

  /** Whether another key could be taken for this one. */
  hasLookalike(index: number): boolean {
    return (this.#lookalikes & (1 << index)) !== 0;
  }

  hasAnyLookalike(): boolean {
    return this.#lookalikes !== 0;
  }

  #startOf(index: number): number {
    return this.#ranges[index * 2] ?? 0;
  }

  #endOf(index: number): number {
    return this.#ranges[index * 2 + 1] ?? 0;
  }
}
