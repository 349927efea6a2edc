/**
 * Changes single members of a JSON text and leaves every other byte as it is. Only for text that a parser has accepted, in which no
 * object has a key twice (`strict-json.ts`).
 */

/** Sets the member at `path` to `json`; it is made when its parent is there. Returns the text unchanged when its parent is not. */
export function setMember(text: string, path: readonly string[], json: string): string {
  const found = findMember(text, path);
  if (found !== undefined) return splice(text, [found.valueStart, found.end], json);
  const parentAt = findObject(text, path.slice(0, -1));
  if (parentAt === undefined) return text;
  const isEmpty = text.charAt(skipSpace(text, parentAt + 1)) === '}';
  const member = `${JSON.stringify(path.at(-1))}:${json}${isEmpty ? '' : ','}`;
  return splice(text, [parentAt + 1, parentAt + 1], member);
}

/** Takes the member at `path` away, with one of the commas beside it. */
export function removeMember(text: string, path: readonly string[]): string {
  const found = findMember(text, path);
  if (found === undefined) return text;
  const next = skipSpace(text, found.end);
  if (text.charAt(next) === ',') return splice(text, [found.start, skipSpace(text, next + 1)], '');
  const before = text.slice(0, found.start).trimEnd();
  return splice(text, [before.endsWith(',') ? before.length - 1 : found.start, found.end], '');
}

interface Member {
  /** Index of the quote that opens the key. */
  readonly start: number;
  readonly valueStart: number;
  /** Index after the value. */
  readonly end: number;
}

/** `range` is where the replacement goes. */
function splice(text: string, [start, end]: readonly [number, number], replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

function findMember(text: string, path: readonly string[]): Member | undefined {
  const parentAt = findObject(text, path.slice(0, -1));
  const key = path.at(-1);
  return parentAt === undefined || key === undefined ? undefined : memberOf(text, parentAt, key);
}

/** Index of the brace that opens the object at `path`. */
function findObject(text: string, path: readonly string[]): number | undefined {
  let at: number | undefined = skipSpace(text, 0);
  for (const key of path) at = at === undefined ? undefined : memberOf(text, at, key)?.valueStart;
  return at !== undefined && text.charAt(at) === '{' ? at : undefined;
}

function memberOf(text: string, objectAt: number, wanted: string): Member | undefined {
  if (text.charAt(objectAt) !== '{') return undefined;
  let start = skipSpace(text, objectAt + 1);
  while (text.charAt(start) === '"') {
    const keyEnd = endOfString(text, start);
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, valueStart);
    if (JSON.parse(text.slice(start, keyEnd)) === wanted) return { start, valueStart, end };
    const comma = skipSpace(text, end);
    if (text.charAt(comma) !== ',') return undefined;
    start = skipSpace(text, comma + 1);
  }
  return undefined;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at += 1;
  return at;
}

/** Index after the quote that closes the string opened at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\') at += 1;
    else if (char === '"') return at + 1;
  }
  return text.length;
}

function endOfValue(text: string, start: number): number {
  const first = text.charAt(start);
  if (first === '"') return endOfString(text, start);
  if (first !== '{' && first !== '[') return endOfLiteral(text, start);
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"') at = endOfString(text, at) - 1;
    else if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return text.length;
}

function endOfLiteral(text: string, start: number): number {
  let at = start;
  while (at < text.length && !',}] \t\n\r'.includes(text.charAt(at))) at += 1;
  return at;
}
