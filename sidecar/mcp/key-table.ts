import type { KeyTexts, PlacedKey } from './key-texts.ts';

const intsOfKey = 3;
const firstSlots = 64;

/** The keys of one object that has many: a hash table of numbers, as a `Set` of texts costs ten times as much. */
export class KeyTable {
  readonly #texts: KeyTexts;
  #slots = new Int32Array(firstSlots * intsOfKey);
  #size = 0;

  constructor(texts: KeyTexts) {
    this.#texts = texts;
  }

  /** Returns whether there was no such key yet. */
  add(key: PlacedKey): boolean {
    // Half of the slots stay free, so that a search is short.
    if (this.#size * 2 * intsOfKey >= this.#slots.length) this.#grow();
    const slots = this.#slots;
    let at = slotOf(key.hash, slots);
    for (; isTaken(slots, at); at = next(slots, at)) {
      if (slots[at] === key.hash && this.#texts.isSame(key, slots[at + 1] ?? 0, slots[at + 2] ?? 0)) return false;
    }
    put(slots, at, key);
    this.#size += 1;
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2);
    for (let from = 0; from < old.length; from += intsOfKey) if (isTaken(old, from)) this.#move(old, from);
  }

  #move(old: Int32Array, from: number): void {
    const slots = this.#slots;
    const key = { hash: old[from] ?? 0, start: old[from + 1] ?? 0, end: old[from + 2] ?? 0 };
    let at = slotOf(key.hash, slots);
    while (isTaken(slots, at)) at = next(slots, at);
    put(slots, at, key);
  }
}

/** No key begins at the very first byte of a text. */
function isTaken(slots: Int32Array, at: number): boolean {
  return slots[at + 1] !== 0;
}

/** The number of slots is a power of two. */
function slotOf(hash: number, slots: Int32Array): number {
  return (hash & (slots.length / intsOfKey - 1)) * intsOfKey;
}

function next(slots: Int32Array, at: number): number {
  return at + intsOfKey === slots.length ? 0 : at + intsOfKey;
}

function put(slots: Int32Array, at: number, { hash, start, end }: PlacedKey): void {
  slots[at] = hash;
  slots[at + 1] = start;
  slots[at + 2] = end;
}
