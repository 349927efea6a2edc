const quote = 0x22;
const backslash = 0x5c;
const firstPrintable = 0x20;

/** Runs up to this length are walked byte by byte; for longer ones it pays to have the runtime search. */
const walkedMax = 64;

/** Finds what ends a run of plain characters in a JSON string: a quote, a backslash, or a control character, which no string has. */
export class StringRuns {
  readonly #bytes: Uint8Array;
  // Both are remembered, so that many short runs before a far quote do not search for it again and again.
  #nextQuote = -1;
  #nextBackslash = -1;
  #words: Int32Array | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Position of the first of them from `start` on; the length of the text when there is none. */
  endOf(start: number): number {
    const bytes = this.#bytes;
    const near = Math.min(start + walkedMax, bytes.length);
    for (let at = start; at < near; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === quote || byte === backslash || byte < firstPrintable) return at;
    }
    return near === bytes.length ? near : this.#search(near);
  }

  #search(start: number): number {
    if (this.#nextQuote < start) this.#nextQuote = this.#indexOf(quote, start);
    if (this.#nextBackslash < start) this.#nextBackslash = this.#indexOf(backslash, start);
    return this.#firstControl(start, Math.min(this.#nextQuote, this.#nextBackslash));
  }

  #indexOf(byte: number, start: number): number {
    const found = this.#bytes.indexOf(byte, start);
    return found === -1 ? this.#bytes.length : found;
  }

  /** Position of the first control character before `end`, otherwise `end`. Looks at four bytes at a time. */
  #firstControl(start: number, end: number): number {
    this.#words ??= wordsOf(this.#bytes);
    const words = this.#words;
    const skew = this.#bytes.byteOffset % 4;
    const last = Math.floor((end + skew) / 4);
    let word = Math.min(Math.ceil((start + skew) / 4), last);
    const before = this.#walk(start, Math.min(word * 4 - skew, end));
    if (before !== undefined) return before;
    word = skipEights(words, word, last);
    while (word < last && !hasControl(words[word] ?? 0)) word += 1;
    return this.#walk(Math.max(start, word * 4 - skew), end) ?? end;
  }

  #walk(start: number, end: number): number | undefined {
    for (let at = start; at < end; at += 1) if ((this.#bytes[at] ?? 0) < firstPrintable) return at;
    return undefined;
  }
}

/** The bytes as numbers of four, from the last boundary before them; what is left over at the end is in none. */
function wordsOf({ buffer, byteOffset, byteLength }: Uint8Array): Int32Array {
  const skew = byteOffset % 4;
  return new Int32Array(buffer, byteOffset - skew, Math.floor((byteLength + skew) / 4));
}

/** Where the first eight words begin that may have a control character in them, otherwise where fewer than eight are left. */
function skipEights(words: Int32Array, from: number, end: number): number {
  let at = from;
  for (const last = Math.min(end, words.length) - 8; at <= last; at += 8) {
    const found =
      below(words[at] ?? 0) |
      below(words[at + 1] ?? 0) |
      below(words[at + 2] ?? 0) |
      below(words[at + 3] ?? 0) |
      below(words[at + 4] ?? 0) |
      below(words[at + 5] ?? 0) |
      below(words[at + 6] ?? 0) |
      below(words[at + 7] ?? 0);
    if ((found & 0x80_80_80_80) !== 0) break;
  }
  return at;
}

/**
 * Whether any of four bytes is below 0x20: subtracting 0x20 from each sets its highest bit, which it had not. A borrow from a lower
 * byte can only add a wrong hit above a right one.
 */
function hasControl(word: number): boolean {
  return (below(word) & 0x80_80_80_80) !== 0;
}

function below(word: number): number {
  return (word - 0x20_20_20_20) & ~word;
}
