/**
 * Strict JSON in the plainest way: `JSON.parse`, and a count of members to find a key that occurs twice. What the sidecar's scanner is
 * compared with.
 */

export type StrictJson =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'invalid'; readonly problem: StrictJsonProblem };

export type StrictJsonProblem = 'NotUtf8' | 'ByteOrderMark' | 'TooDeep' | 'Syntax' | 'DuplicateKey';

/** Deepest nesting of objects and arrays. */
export const depthMax = 100;

// `ignoreBOM` keeps the mark in the text, where it can be refused.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Parses the whole of `bytes`; never throws. */
export function parseStrictJson(bytes: Uint8Array): StrictJson {
  const text = decode(bytes);
  if (text === undefined) return invalid('NotUtf8');
  if (text.charCodeAt(0) === byteOrderMark) return invalid('ByteOrderMark');
  const shape = scan(text);
  if (shape.depth > depthMax) return invalid('TooDeep');
  const value = parse(text);
  if (value === undefined) return invalid('Syntax');
  // A later key replaces an earlier one of the same name: then the text has more members than the value.
  if (shape.members !== countMembers(value)) return invalid('DuplicateKey');
  return { kind: 'value', value };
}

const byteOrderMark = 0xfe_ff;

function invalid(problem: StrictJsonProblem): StrictJson {
  return { kind: 'invalid', problem };
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const quote = 0x22;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Members (colons outside strings) and greatest depth. Only meaningful for text that `JSON.parse` accepts as well. */
function scan(text: string): { members: number; depth: number } {
  let members = 0;
  let depth = 0;
  let deepest = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === quote) index = endOfString(text, index);
    else if (code === colon) members += 1;
    else if (code === openBrace || code === openBracket) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (code === closeBrace || code === closeBracket) depth -= 1;
  }
  return { members, depth: deepest };
}

/** Index of the quote that closes the string opened at `start`, or of the end of the text. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end;
}

function isEscaped(text: string, index: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(index - 1 - slashes) === 0x5c) slashes += 1;
  return slashes % 2 === 1;
}

function countMembers(root: unknown): number {
  let members = 0;
  const open: unknown[] = [root];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const children: unknown[] = Object.values(value);
    if (!Array.isArray(value)) members += children.length;
    for (const child of children) if (typeof child === 'object' && child !== null) open.push(child);
  }
  return members;
}
