import type { KeyForm } from './key-forms.ts';
import { bytesOf, codeOf, noChar, passedOver, readChar, type Text, unfinished } from './read-char.ts';

/** Where a key stands in a text: from the first byte of its first character to the last byte of its last. */
export interface Found {
  readonly start: number;
  readonly end: number;
}

export interface SearchResult {
  readonly found: readonly Found[];
  /** Where the beginning of a key, or of an escape, stands at the end of the text; the text's length when there is none. */
  readonly holdFrom: number;
}

/** Finds the form in the text, from `from` on. Takes one step for each character, whatever text and key are. */
export function findKey(text: Text, form: KeyForm, from: number): SearchResult {
  const found: Found[] = [];
  const { length } = form.codes;
  const end = text.bytes.byteLength;
  if (length === 0) return { found, holdFrom: end };
  /** Where the last characters began, as many as the form has. */
  const starts = new Uint32Array(length);
  let read = 0;
  let matched = 0;
  let at = from;
  while (at < end) {
    if (matched === 0) at = nextCandidate(text.bytes, form, at);
    if (at === end) break;
    const char = readChar(text, at, form.reading);
    if (char === unfinished) break;
    const code = form.fold[codeOf(char)] ?? noChar;
    if (code !== passedOver) {
      starts[read % length] = at;
      read += 1;
      matched = advance(form, matched, code);
    }
    at += bytesOf(char);
    if (matched < length) continue;
    found.push({ start: starts[read % length] ?? 0, end: at });
    matched = 0;
  }
  return { found, holdFrom: matched > 0 ? (starts[(read - matched) % length] ?? at) : at };
}

const percent = 0x25;
const backslash = 0x5c;

/** Where the form, or an escape, can begin: the bytes before are passed over at little cost. */
function nextCandidate(bytes: Uint8Array, { codes, fold }: KeyForm, from: number): number {
  const first = codes[0];
  let at = from;
  for (; at < bytes.byteLength; at += 1) {
    const byte = bytes[at] ?? 0;
    if (fold[byte] === first || byte === percent || byte === backslash) break;
  }
  return at;
}

/** How many characters of the form stand at the end of what was read, `code` now among it. */
function advance({ codes, fallback }: KeyForm, before: number, code: number): number {
  let matched = before;
  while (matched > 0 && codes[matched] !== code) matched = fallback[matched - 1] ?? 0;
  return codes[matched] === code ? matched + 1 : matched;
}
