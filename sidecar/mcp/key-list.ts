import type { JsonText } from './json-text.ts';
import { KeyTable } from './key-table.ts';
import { KeyTexts, type PlacedKey, type ScannedKey } from './key-texts.ts';

/** Deepest nesting of objects and arrays. */
export const depthMax = 100;

/** An object with more keys than this gets a table. */
const listedMax = 16;
const intsOfKey = 3;

// Of all scans, as none begins before another has ended.
/** Hash, start and end of each key of the objects that are open. */
const listed = new Int32Array(depthMax * listedMax * intsOfKey);
/** Where the keys of each open object begin in `listed`. */
const begins = new Int32Array(depthMax + 1);

/** The keys of the objects that a scan is in, innermost last, to find one that occurs twice. */
export class KeyList {
  readonly #texts: KeyTexts;
  #depth = 0;
  #begin = 0;
  #end = 0;
  /** By depth, the tables of the open objects that have one. Few texts have any. */
  #tables: Map<number, KeyTable> | undefined;

  constructor(text: JsonText) {
    this.#texts = new KeyTexts(text);
  }

  open(): void {
    this.#depth += 1;
    this.#begin = this.#end;
    begins[this.#depth] = this.#end;
  }

  close(): void {
    this.#tables?.delete(this.#depth);
    this.#end = this.#begin;
    this.#depth -= 1;
    this.#begin = begins[this.#depth] ?? 0;
  }

  /** Returns whether the innermost object had no such key yet. */
  add(scanned: ScannedKey): boolean {
    const key = this.#texts.place(scanned);
    const table = this.#tables?.get(this.#depth);
    if (table !== undefined) return table.add(key);
    return this.#end - this.#begin < listedMax * intsOfKey ? this.#addListed(key) : this.#newTable().add(key);
  }

  #addListed(key: PlacedKey): boolean {
    for (let at = this.#begin; at < this.#end; at += intsOfKey) {
      if (listed[at] === key.hash && this.#texts.isSame(key, listed[at + 1] ?? 0, listed[at + 2] ?? 0)) return false;
    }
    listed[this.#end] = key.hash;
    listed[this.#end + 1] = key.start;
    listed[this.#end + 2] = key.end;
    this.#end += intsOfKey;
    return true;
  }

  /** Takes over what is listed of the innermost object. */
  #newTable(): KeyTable {
    const table = new KeyTable(this.#texts);
    for (let at = this.#begin; at < this.#end; at += intsOfKey) {
      table.add({ hash: listed[at] ?? 0, start: listed[at + 1] ?? 0, end: listed[at + 2] ?? 0 });
    }
    this.#end = this.#begin;
    this.#tables ??= new Map();
    this.#tables.set(this.#depth, table);
    return table;
  }
}
