import type { JsonText } from './json-text.ts';
import type { ScannedKey } from './key-texts.ts';

/** Says that a key is neither watched nor looks like one that is. */
export const unwatched = -1;

/**
 * Keys of an object that are judged, and the keys that some JSON libraries take for them. Go's `encoding/json` compares names
 * without case, by Unicode simple folding, and the last one wins: `{"method":"ping","METHOD":"tools/call"}` would be judged as one
 * method and served as another.
 */
export class WatchedKeys {
  readonly names: readonly string[];
  readonly #written: readonly Uint8Array[];
  readonly #folded: ReadonlyMap<string, number>;

  constructor(names: readonly string[]) {
    this.names = names;
    this.#written = names.map((name) => new TextEncoder().encode(name));
    this.#folded = new Map(names.map((name, index) => [foldKey(name), index]));
  }

  /** Index of the name that the key is. */
  find(text: JsonText, key: ScannedKey): number {
    if (key.escaped) return this.names.indexOf(String(text.value(key.start - 1, key.end + 1)));
    let index = 0;
    for (const name of this.#written) {
      if (isWritten(text.bytes, key, name)) return index;
      index += 1;
    }
    return unwatched;
  }

  /** Index of the name that the key, which is none of them, looks like. */
  findAlike(text: JsonText, key: ScannedKey): number {
    if (!key.escaped && isAscii(text.bytes, key) && !this.#hasAlmost(text.bytes, key)) return unwatched;
    return this.#folded.get(foldKey(String(text.value(key.start - 1, key.end + 1)))) ?? unwatched;
  }

  /** Whether a key in ASCII could be one of the names, as far as that is told without making it a text. */
  #hasAlmost(bytes: Uint8Array, key: ScannedKey): boolean {
    for (const name of this.#written) if (isAlmost(bytes, key, name)) return true;
    return false;
  }
}

/** The bit in which the cases of a letter differ. */
const caseBit = 0x20;

function isAlmost(bytes: Uint8Array, { start, end }: ScannedKey, name: Uint8Array): boolean {
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index += 1) {
    if (((bytes[start + index] ?? 0) | caseBit) !== ((name[index] ?? 0) | caseBit)) return false;
  }
  return true;
}

function isWritten(bytes: Uint8Array, { start, end }: ScannedKey, name: Uint8Array): boolean {
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index += 1) if (bytes[start + index] !== name[index]) return false;
  return true;
}

function isAscii(bytes: Uint8Array, { start, end }: ScannedKey): boolean {
  for (let at = start; at < end; at += 1) if ((bytes[at] ?? 0) >= 0x80) return false;
  return true;
}

/**
 * The same for keys that a library which compares without case takes for one. Beyond ASCII, two characters fold to a letter: the
 * Kelvin sign to `k`, the long s to `s`.
 */
export function foldKey(name: string): string {
  return name.toLowerCase().replaceAll('\u{17f}', 's');
}
