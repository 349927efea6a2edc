import { Buffer } from 'node:buffer';
import type { RequestId } from './message.ts';

/**
 * What a JSON-RPC message of a server says of itself, read as its bytes come and without keeping them: an answer may be larger than
 * memory. Text that is no JSON gives nonsense. It goes on record, and `taskId` and `id` say what belongs to the user who gets the
 * text: what a server names to one user it lets that user have, so nonsense gives nothing away that is known to be another's.
 */
export interface ServerMessage {
  readonly id: RequestId | undefined;
  /** A request or a notification of the server: it has a method. */
  readonly isCall: boolean;
  /** Code of the error, 0 for a result. */
  readonly rpcStatus: number | undefined;
  readonly isError: boolean | undefined;
  /**
   * The task that the answer begins: `result.task.taskId`, or `result.taskId` where `resultType` is `task`. Undefined for an id of
   * more than 512 bytes: its task belongs to the first user whom the server lets in with it.
   */
  readonly taskId: string | undefined;
}

/** What is kept of a message, each in its place. */
const slots = {
  id: 0,
  method: 1,
  error: 2,
  result: 3,
  code: 4,
  isError: 5,
  resultType: 6,
  taskId: 7,
  task: 8,
  taskIdOfTask: 9,
} as const;

type Slot = (typeof slots)[keyof typeof slots];

/** A member of interest: where its value is kept, and what is of interest in it when it is an object. */
interface Member {
  readonly name: string;
  readonly slot: Slot;
  readonly inner?: Shape;
  /** Only that it is there matters, not what it is. */
  readonly isNoted?: true;
}

/** Members of an object; anything else in it is skipped. */
type Shape = readonly Member[];

const task: Shape = [{ name: 'taskId', slot: slots.taskIdOfTask }];
const result: Shape = [
  { name: 'isError', slot: slots.isError },
  { name: 'resultType', slot: slots.resultType },
  { name: 'taskId', slot: slots.taskId },
  { name: 'task', slot: slots.task, inner: task },
];
const error: Shape = [{ name: 'code', slot: slots.code }];
const root: Shape = [
  { name: 'id', slot: slots.id },
  { name: 'method', slot: slots.method, isNoted: true },
  { name: 'error', slot: slots.error, inner: error },
  { name: 'result', slot: slots.result, inner: result },
];

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
  readonly #open: Shape[] = [];
  #expectsKey = false;
  #member: Member | undefined;
  #isInString = false;
  #isKept = false;
  #isEscaped = false;
  #token = '';
  /** JSON, by slot; empty for an object or an array. */
  readonly #values: (string | undefined)[] = Object.values(slots).map(() => undefined);

  reset(): void {
    this.#depth = 0;
    this.#open.length = 0;
    this.#expectsKey = false;
    this.#member = undefined;
    this.#isInString = false;
    this.#isEscaped = false;
    this.#token = '';
    this.#values.fill(undefined);
  }

  /** Whether it is known that there is a result or an error of which code, so that nothing else has to be read for that. */
  get knowsStatus(): boolean {
    return this.#values[slots.result] !== undefined || this.#values[slots.code] !== undefined;
  }

  feed(bytes: Uint8Array, start = 0, end = bytes.byteLength): void {
    let at = start;
    while (at < end) {
      if (this.#isInString) at = this.#string(bytes, at, end);
      else if (this.#depth > this.#open.length) at = this.#skip(bytes, at, end);
      else at = this.#structure(bytes, at, end);
    }
  }

  read(): ServerMessage {
    const values = this.#values;
    const taskId = values[slots.taskIdOfTask] ?? (isTask(values) ? values[slots.taskId] : undefined);
    return {
      id: idOf(parsed(values[slots.id])),
      isCall: values[slots.method] !== undefined,
      rpcStatus: statusOf(values),
      isError: booleanOf(parsed(values[slots.isError])),
      taskId: textOf(parsed(taskId)),
    };
  }

  get #shape(): Shape | undefined {
    return this.#depth === this.#open.length ? this.#open.at(-1) : undefined;
  }

  /** Passes what is in an object or array of no interest; returns where it got. */
  #skip(bytes: Uint8Array, start: number, end: number): number {
    let depth = this.#depth;
    let at = start;
    while (at < end && depth > this.#open.length) {
      const byte = bytes[at] ?? 0;
      at += 1;
      if (byte === quote) {
        const close = closeOfShortString(bytes, at, end);
        if (close < 0) {
          this.#isInString = true;
          this.#isKept = false;
          break;
        }
        at = close + 1;
      } else if (byte === openBrace || byte === openBracket) depth += 1;
      else if (byte === closeBrace || byte === closeBracket) depth -= 1;
    }
    this.#depth = depth;
    return at;
  }

  /** Reads up to the next string, or into an object or array; returns where it got. */
  #structure(bytes: Uint8Array, start: number, end: number): number {
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte <= space) continue;
      if (byte === quote) {
        const close = closeOfShortString(bytes, at + 1, end);
        if (close < 0) {
          this.#beginString();
          return at + 1;
        }
        this.#takeString(bytes, at + 1, close);
        at = close;
        continue;
      }
      this.#take(byte);
      if (byte === openBrace || byte === openBracket) return at + 1;
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

  /** A string that is there as a whole, without anything escaped. */
  #takeString(bytes: Uint8Array, start: number, end: number): void {
    if (this.#expectsKey)
      this.#member = this.#shape?.find(({ name }) => name.length === end - start && isAt(bytes, start, name));
    else if (this.#member !== undefined) this.#store(this.#member.isNoted ? '' : `"${latin1(bytes, start, end)}"`);
  }

  #beginString(): void {
    this.#isInString = true;
    this.#isKept = this.#shape !== undefined && (this.#expectsKey || this.#member !== undefined);
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
    this.#keep(bytes, start, close);
    // The quote, or what comes in the next piece, belongs to the backslash before it.
    if (isEscaped(bytes, start, close)) {
      this.#isEscaped = true;
      return close;
    }
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
    const token = this.#token;
    this.#token = '';
    if (!this.#isKept) return;
    if (this.#expectsKey) this.#member = this.#memberOf(token);
    else this.#store(`"${token}"`);
  }

  #memberOf(token: string): Member | undefined {
    const key = textOf(parsed(`"${token}"`));
    return this.#shape?.find(({ name }) => name === key);
  }

  #scalar(byte: number): void {
    if (this.#member === undefined || this.#expectsKey || this.#token.length >= textBytesMax) return;
    this.#token += String.fromCharCode(byte);
  }

  #enter(byte: number): void {
    const inner = this.#depth === 0 ? root : this.#member?.inner;
    this.#store('');
    this.#depth += 1;
    if (byte !== openBrace || inner === undefined) return;
    this.#open.push(inner);
    this.#expectsKey = true;
    this.#member = undefined;
  }

  #leave(): void {
    this.#endScalar();
    this.#depth -= 1;
    if (this.#open.length <= this.#depth) return;
    this.#open.pop();
    this.#expectsKey = false;
    this.#member = undefined;
  }

  #nextMember(): void {
    this.#endScalar();
    this.#expectsKey = true;
    this.#member = undefined;
  }

  #endScalar(): void {
    if (this.#token !== '') this.#store(this.#token);
    this.#token = '';
  }

  #store(json: string): void {
    if (this.#member !== undefined) this.#values[this.#member.slot] = json;
  }
}

/** Where a call of a native search costs more than it saves. */
const shortBytes = 48;

/** Index of the quote that ends the string; -1 where something is escaped, or the string is long. */
function closeOfShortString(bytes: Uint8Array, start: number, end: number): number {
  const last = Math.min(end, start + shortBytes);
  for (let at = start; at < last; at += 1) {
    const byte = bytes[at];
    if (byte === quote) return at;
    if (byte === backslash) return -1;
  }
  return -1;
}

/** One character a byte. */
function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function isAt(bytes: Uint8Array, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (bytes[start + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** Whether the backslashes before `end` escape what comes there. */
function isEscaped(bytes: Uint8Array, start: number, end: number): boolean {
  let slashes = 0;
  while (end - 1 - slashes >= start && bytes[end - 1 - slashes] === backslash) slashes += 1;
  return slashes % 2 === 1;
}

type Values = readonly (string | undefined)[];

function isTask(values: Values): boolean {
  return values[slots.resultType] === '"task"';
}

function statusOf(values: Values): number | undefined {
  if ((values[slots.error] ?? 'null') === 'null') return values[slots.result] === undefined ? undefined : 0;
  const code = parsed(values[slots.code]);
  return typeof code === 'number' && Number.isSafeInteger(code) ? code : undefined;
}

const decoder = new TextDecoder();
const ascii = /^[ -~]*$/;

/** `json` with one character a byte of UTF-8. */
function parsed(json: string | undefined): unknown {
  if (json === undefined || json === '') return undefined;
  try {
    return JSON.parse(ascii.test(json) ? json : decoder.decode(Buffer.from(json, 'latin1')));
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function booleanOf(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

function idOf(value: unknown): RequestId | undefined {
  return typeof value === 'string' || typeof value === 'number' ? value : undefined;
}
