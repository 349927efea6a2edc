/**
 * Where the values of a JSON text stand in it, so that some can be taken out and all others stay as they are written: numbers that
 * no `number` holds, keys in their order, blanks. Only for text that `JSON.parse` accepts.
 */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Member extends Span {
  /** Decoded. */
  readonly key: string;
}

/** The value that the whole text is. */
export function rootOf(text: string): Span {
  const start = afterBlanks(text, 0);
  return { start, end: endOfValue(text, start) };
}

/** Members of the object that begins at `start`, in order; one that occurs twice is there twice. */
export function membersOf(text: string, { start }: Span): readonly Member[] {
  const members: Member[] = [];
  let at = afterBlanks(text, start + 1);
  while (text[at] === '"') {
    const keyEnd = endOfValue(text, at);
    const key = String(JSON.parse(text.slice(at, keyEnd)));
    const valueAt = afterBlanks(text, afterBlanks(text, keyEnd) + 1);
    const end = endOfValue(text, valueAt);
    members.push({ key, start: valueAt, end });
    at = afterComma(text, end);
  }
  return members;
}

/** Elements of the array that begins at `start`. */
export function elementsOf(text: string, { start }: Span): readonly Span[] {
  const elements: Span[] = [];
  let at = afterBlanks(text, start + 1);
  while (at < text.length && text[at] !== ']') {
    const end = endOfValue(text, at);
    elements.push({ start: at, end });
    at = afterComma(text, end);
  }
  return elements;
}

/** Where the next element begins, or the bracket that ends them. */
function afterComma(text: string, at: number): number {
  const next = afterBlanks(text, at);
  return text[next] === ',' ? afterBlanks(text, next + 1) : next;
}

const quote = 0x22;
const comma = 0x2c;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const blank = 0x20;

function afterBlanks(text: string, from: number): number {
  let at = from;
  // Every blank of JSON is a space or a control character, and nothing else of it is.
  while (at < text.length && text.charCodeAt(at) <= blank) at += 1;
  return at;
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return endOfString(text, start);
  return first === openBrace || first === openBracket ? endOfBrackets(text, start) : endOfScalar(text, start);
}

function endOfScalar(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code <= blank || code === comma || code === closeBracket || code === closeBrace) break;
  }
  return at;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === backslash) at += 1;
    else if (code === quote) break;
  }
  return at + 1;
}

function endOfBrackets(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = endOfString(text, at);
      continue;
    }
    at += 1;
    if (code === openBrace || code === openBracket) depth += 1;
    else if (code === closeBrace || code === closeBracket) depth -= 1;
    if (depth === 0) break;
  }
  return at;
}
