import { Buffer } from 'node:buffer';

import { bytesOf, charBytesMax, codeOf, noChar, passedOver, readChar, type Reading } from './read-char.ts';

/** One shape in which a key can stand in a text. */
export interface KeyForm {
  readonly reading: Reading;
  /** Without this text the form is nowhere, unless letters and digits are escaped as well. Empty: it has none. */
  readonly anchor: string;
  /** Characters that are the same here: the two alphabets of base64, a space and its `+` in a form. By code. */
  readonly fold: Uint8Array;
  readonly codes: Uint8Array;
  /** For each character how many of those before it a match can fall back to (Knuth, Morris, Pratt). */
  readonly fallback: Uint16Array;
}

/**
 * Shortest key that is looked for, in characters. A shorter one would be found in texts that have nothing to do with it, and is
 * guessed in no time by whoever wants it.
 */
export const guardedCharsMin = 8;

/** The longest piece of an anchor: enough to be found nowhere by accident. */
const anchorCharsMax = 24;

/**
 * Texts without which no form of the key is in a text, unless letters and digits are escaped as well. Undefined: there are none,
 * as for a key without letters and digits.
 */
export function anchorsOf(key: string): readonly string[] | undefined {
  const anchors = [key, ...base64Cores(key)].map(longestWord);
  return anchors.every((anchor) => anchor !== '') ? anchors : undefined;
}

export function formsOf(key: string): readonly KeyForm[] {
  const plain = codesOf(key, 'plain', formFold);
  const decoded = codesOf(key, 'decoded', formFold);
  const own = { anchor: longestWord(key), fold: formFold };
  return [
    form({ ...own, reading: 'plain', codes: plain }),
    form({ ...own, reading: 'decoded', codes: plain }),
    // A key that looks escaped itself, in a text that escapes some of it: `%41` is a letter there.
    ...(Buffer.compare(plain, decoded) === 0 ? [] : [form({ ...own, reading: 'decoded', codes: decoded })]),
    ...base64Cores(key).map((core) =>
      form({
        anchor: longestWord(core),
        fold: base64Fold,
        reading: 'decoded',
        codes: codesOf(core, 'plain', base64Fold),
      }),
    ),
  ];
}

/** Longest stretch of a text that can be the beginning of `forms` without being one of them. */
export function beginningBytesMax(forms: readonly KeyForm[]): number {
  return Math.max(...forms.map(({ codes }) => codes.length)) * charBytesMax;
}

function longestWord(text: string): string {
  const words = text.match(/[A-Za-z0-9]+/g) ?? [''];
  return words.reduce((longest, word) => (word.length > longest.length ? word : longest)).slice(-anchorCharsMax);
}

/**
 * What base64 makes of the key alone, for each of the three places in a group of bytes where it can begin: the characters that
 * neither what stands before it nor what stands after it has a part in.
 */
function base64Cores(key: string): readonly string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), Buffer.from(key, 'latin1')]).toString('base64');
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + key.length) * 8) / 6));
  });
}

function foldTable(same: readonly (readonly [string, string])[]): Uint8Array {
  const table = Uint8Array.from({ length: 0x100 }, (_, code) => (code < 0x80 ? code : noChar));
  for (const [from, to] of same) table[from.charCodeAt(0)] = to.charCodeAt(0);
  return table;
}

const formFold = foldTable([[' ', '+']]);
const base64Fold = foldTable([
  ['-', '+'],
  ['_', '/'],
]);

function form(parts: Omit<KeyForm, 'fallback'>): KeyForm {
  return { ...parts, fallback: fallbackOf(parts.codes) };
}

/** The key as it is read in a text. */
function codesOf(key: string, reading: Reading, fold: Uint8Array): Uint8Array {
  const text = { bytes: Buffer.from(key, 'latin1'), whole: true };
  const codes: number[] = [];
  for (let at = 0; at < key.length;) {
    const char = readChar(text, at, reading);
    const code = fold[codeOf(char)] ?? noChar;
    if (code !== passedOver) codes.push(code);
    at += bytesOf(char);
  }
  return Uint8Array.from(codes);
}

function fallbackOf(codes: Uint8Array): Uint16Array {
  const fallback = new Uint16Array(codes.length);
  let matched = 0;
  for (let index = 1; index < codes.length; index += 1) {
    while (matched > 0 && codes[index] !== codes[matched]) matched = fallback[matched - 1] ?? 0;
    if (codes[index] === codes[matched]) matched += 1;
    fallback[index] = matched;
  }
  return fallback;
}
