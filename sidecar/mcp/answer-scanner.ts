import type { RequestId } from './message.ts';

/**
 * What a JSON-RPC message of a server says of itself, read as its bytes come and without keeping them: an answer may be larger than
 * memory. Text that is no JSON gives nonsense, which is only ever put on record.
 */
export interface ServerMessage {
  readonly id: RequestId | undefined;
  /** A request or a notification of the server. */
  readonly method: string | undefined;
  /** Code of the error, 0 for a result. */
  readonly rpcStatus: number | undefined;
  readonly isError: boolean | undefined;
  /** The task that the answer begins: `result.task.taskId`, or `result.taskId` where `resultType` is `task`. */
  readonly taskId: string | undefined;
}

/** Objects whose members are of interest, by the path that leads there; anything in them that is not here is skipped. */
const shapes = {
  root: { id: 'value', method: 'value', error: 'error', result: 'result' },
  error: { code: 'value' },
  result: { isError: 'value', taskId: 'value', resultType: 'value', task: 'task' },
  task: { taskId: 'value' },
} as const;

type ShapeName = keyof typeof shapes;

const members: Readonly<Record<ShapeName, ReadonlyMap<string, ShapeName | 'value'>>> = {
  root: new Map(Object.entries(shapes.root)),
  error: new Map(Object.entries(shapes.error)),
  result: new Map(Object.entries(shapes.result)),
  task: new Map(Object.entries(shapes.task)),
};

/** Longest text that is kept: of a key, a method, an id. */
const textBytesMax = 512;

const space = 0x20;
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

export class AnswerScanner {
  #depth = 0;
  /** Shapes that are open, the root first: the depth of the innermost is how many they are. */
  readonly #open: ShapeName[] = [];
  #expectsKey = false;
  #key = '';
  #isInString = false;
  #isKept = false;
  #isEscaped = false;
  #token = '';
  #values = new Map<string, string>();

  reset(): void {
    this.#depth = 0;
    this.#open.length = 0;
    this.#expectsKey = false;
    this.#key = '';
    this.#isInString = false;
    this.#isEscaped = false;
    this.#token = '';
    if (this.#values.size > 0) this.#values = new Map();
  }

  feed(bytes: Uint8Array, start = 0, end = bytes.byteLength): void {
    let at = start;
    while (at < end) at = this.#isInString ? this.#string(bytes, at, end) : this.#structure(bytes, at, end);
  }

  read(): ServerMessage {
    const hasError = (this.#values.get('root.error') ?? 'null') !== 'null';
    const isTask = parsed(this.#values.get('result.resultType')) === 'task';
    const taskId = this.#values.get('task.taskId') ?? (isTask ? this.#values.get('result.taskId') : undefined);
    return {
      id: idOf(parsed(this.#values.get('root.id'))),
      method: textOf(parsed(this.#values.get('root.method'))),
      rpcStatus: hasError ? codeOf(this.#values.get('error.code')) : this.#values.has('root.result') ? 0 : undefined,
      isError: booleanOf(parsed(this.#values.get('result.isError'))),
      taskId: textOf(parsed(taskId)),
    };
  }

  get #shape(): ShapeName | undefined {
    return this.#depth === this.#open.length ? this.#open.at(-1) : undefined;
  }

  /** Reads up to the next string; returns where it got. */
  #structure(bytes: Uint8Array, start: number, end: number): number {
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === quote) {
        this.#beginString();
        return at + 1;
      }
      if (byte > space) this.#take(byte);
    }
    return end;
  }

  #take(byte: number): void {
    switch (byte) {
      case openBrace:
      case openBracket:
        this.#enter(byte);
        break;
      case closeBrace:
      case closeBracket:
        this.#leave();
        break;
      case comma:
        this.#nextMember();
        break;
      case colon:
        this.#expectsKey = false;
        break;
      default:
        this.#scalar(byte);
    }
  }

  #beginString(): void {
    const shape = this.#shape;
    this.#isInString = true;
    this.#isKept = shape !== undefined && (this.#expectsKey || members[shape].get(this.#key) === 'value');
    this.#token = '';
  }

  #string(bytes: Uint8Array, start: number, end: number): number {
    if (this.#isEscaped) {
      this.#keep(bytes, start, start + 1);
      this.#isEscaped = false;
      return start + 1;
    }
    let close = bytes.indexOf(quote, start);
    if (close === -1 || close > end) close = end;
    const escape = lastEscape(bytes, start, close);
    // The quote, or what comes in the next piece, belongs to the backslash before it.
    if (escape !== -1) {
      this.#keep(bytes, start, close);
      this.#isEscaped = true;
      return close;
    }
    this.#keep(bytes, start, close);
    if (close === end) return end;
    this.#endString();
    return close + 1;
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#isKept || start === end) return;
    if (this.#token.length + end - start > textBytesMax) this.#isKept = false;
    else for (let at = start; at < end; at += 1) this.#token += String.fromCharCode(bytes[at] ?? 0);
  }

  #endString(): void {
    this.#isInString = false;
    const token = `"${this.#token}"`;
    this.#token = '';
    if (!this.#isKept) return;
    if (this.#expectsKey) this.#key = keyOf(token);
    else this.#store(token);
  }

  #scalar(byte: number): void {
    const shape = this.#shape;
    if (shape === undefined || this.#expectsKey || members[shape].get(this.#key) === undefined) return;
    if (this.#token.length < textBytesMax) this.#token += String.fromCharCode(byte);
  }

  #enter(byte: number): void {
    const shape = this.#shape;
    const inner = this.#depth === 0 ? 'root' : shape === undefined ? undefined : members[shape].get(this.#key);
    if (shape !== undefined && inner !== undefined) this.#note();
    this.#depth += 1;
    if (byte !== openBrace || inner === undefined || inner === 'value') return;
    this.#open.push(inner);
    this.#expectsKey = true;
    this.#key = '';
  }

  #leave(): void {
    this.#endScalar();
    if (this.#shape !== undefined) {
      this.#open.pop();
      this.#expectsKey = false;
      this.#key = '';
    }
    this.#depth -= 1;
  }

  #nextMember(): void {
    this.#endScalar();
    if (this.#shape === undefined) return;
    this.#expectsKey = true;
    this.#key = '';
  }

  #endScalar(): void {
    if (this.#token === '' || this.#shape === undefined) return;
    this.#store(this.#token);
    this.#token = '';
  }

  /** The member is there, whatever it is. */
  #note(): void {
    this.#store('');
  }

  #store(json: string): void {
    const shape = this.#shape;
    if (shape !== undefined) this.#values.set(`${shape}.${this.#key}`, json);
  }
}

/** Where the backslash is that escapes the byte at `end`; -1 when there is none. */
function lastEscape(bytes: Uint8Array, start: number, end: number): number {
  let slashes = 0;
  while (end - 1 - slashes >= start && bytes[end - 1 - slashes] === backslash) slashes += 1;
  return slashes % 2 === 1 ? end - 1 : -1;
}

const decoder = new TextDecoder();

/** `json` with one character a byte of UTF-8. */
function parsed(json: string | undefined): unknown {
  if (json === undefined) return undefined;
  try {
    return JSON.parse(decoder.decode(Uint8Array.from(json, (character) => character.charCodeAt(0))));
  } catch {
    return undefined;
  }
}

/** Nearly always plain: then it needs no parser. */
function keyOf(json: string): string {
  return json.includes('\\') ? (textOf(parsed(json)) ?? '') : json.slice(1, -1);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function codeOf(json: string | undefined): number | undefined {
  const code = parsed(json);
  return typeof code === 'number' && Number.isSafeInteger(code) ? code : undefined;
}

function booleanOf(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

function idOf(value: unknown): RequestId | undefined {
  return typeof value === 'string' || typeof value === 'number' ? value : undefined;
}
