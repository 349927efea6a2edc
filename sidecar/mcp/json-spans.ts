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

const notBlank = /[^ \t\r\n]/g;
const endOfScalar = /[ \t\r\n,\]}]/g;
const stringOrBracket = /["[\]{}]/g;
const quoteOrEscape = /["\\]/g;

function afterBlanks(text: string, from: number): number {
  return find(notBlank, text, from);
}

function find(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.index ?? text.length;
}

function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  return first === '{' || first === '[' ? endOfBrackets(text, start) : find(endOfScalar, text, start);
}

function endOfString(text: string, start: number): number {
  let at = find(quoteOrEscape, text, start + 1);
  while (text[at] === '\\') at = find(quoteOrEscape, text, at + 2);
  return at + 1;
}

function endOfBrackets(text: string, start: number): number {
  let depth = 0;
  let at = start;
  do {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else {
      depth += character === '{' || character === '[' ? 1 : -1;
      at += 1;
    }
    if (depth > 0) at = find(stringOrBracket, text, at);
  } while (depth > 0 && at < text.length);
  return at;
}
