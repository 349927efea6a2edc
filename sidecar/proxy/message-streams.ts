import type { RequestId } from '../mcp/message.ts';
import type { ServerMessage } from '../mcp/answer-scanner.ts';
import type { RequestRecord } from './exchange.ts';
import { type Session, ownerOf } from './sessions.ts';

/** Path with its query, as the server names it: where the messages of one client go. */
export type MessageTarget = string;

/** Most requests of one stream whose answer is waited for, to put both on record as one. */
export const heldMax = 128;

/**
 * The transport of revision 2024-11-05: a client opens a stream, is told there where to post its messages, and gets the answers on the
 * stream. One of these is a client, and belongs to the user who opened it.
 */
export class MessageStream {
  readonly owner: string;
  readonly #deliver: (event: Uint8Array) => boolean;
  readonly #held = new Map<string, HeldEnd>();
  #whenIdle: (() => void) | undefined;
  session: Session;
  target: MessageTarget | undefined;

  constructor(record: RequestRecord, deliver: (event: Uint8Array) => boolean) {
    this.owner = ownerOf(record);
    this.session = { owner: this.owner, elicitsUrl: false };
    this.#deliver = deliver;
  }

  /** Gives the client an answer of ours; false when it has no place. `json` is one line. */
  answer(json: Uint8Array): boolean {
    return this.#deliver(Buffer.concat([eventHead, json, eventEnd]));
  }

  /** The request ends when its answer has come. Undefined where too many wait. */
  hold(record: RequestRecord, id: RequestId): HeldEnd | undefined {
    const key = keyOf(id);
    if (this.#held.size >= heldMax || this.#held.has(key)) return undefined;
    const held = new HeldEnd(record, () => this.#release(key));
    this.#held.set(key, held);
    return held;
  }

  take(answer: ServerMessage): void {
    if (answer.id === undefined) return;
    this.#held.get(keyOf(answer.id))?.answer(answer);
  }

  /** Calls `end` when no answer is waited for any more. */
  whenIdle(end: () => void): void {
    this.#whenIdle = end;
    if (this.#held.size === 0) end();
  }

  close(): void {
    for (const held of this.#held.values()) held.release();
  }

  #release(key: string): void {
    this.#held.delete(key);
    if (this.#held.size === 0) this.#whenIdle?.();
  }
}

const eventHead = new TextEncoder().encode('event: message\ndata: ');
const eventEnd = new TextEncoder().encode('\n\n');

/** `1` is not `"1"`. */
function keyOf(id: RequestId): string {
  return JSON.stringify(id);
}

/** The end of a request that is put off until its answer has come on the stream. */
export class HeldEnd {
  readonly #record: RequestRecord;
  readonly #released: () => void;
  #tell: (() => void) | undefined;
  #isReleased = false;

  constructor(record: RequestRecord, released: () => void) {
    this.#record = record;
    this.#released = released;
    record.putOffEnd = (tell) => {
      if (this.#isReleased) tell();
      else this.#tell = tell;
    };
  }

  answer({ rpcStatus, isError, taskId }: ServerMessage): void {
    this.#record.rpcStatus = rpcStatus;
    this.#record.isError = isError;
    this.#record.begunTaskId = taskId;
    this.release();
  }

  /** There is nothing more to come. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#released();
    this.#tell?.();
  }
}

/** The open streams of one server. */
export class MessageStreams {
  readonly #streams = new Map<MessageTarget, MessageStream>();
  /** How many streams have their messages posted to a path. */
  readonly #paths = new Map<string, number>();

  get size(): number {
    return this.#streams.size;
  }

  /** Whether messages are posted there; of whom is not said. */
  hasPath(path: string): boolean {
    return this.#paths.has(path);
  }

  find(target: MessageTarget): MessageStream | undefined {
    return this.#streams.get(target);
  }

  /** The server has said where the client of this stream posts; from now on nobody else does. */
  add(stream: MessageStream, target: MessageTarget): void {
    if (this.#streams.has(target) || stream.target !== undefined) return;
    stream.target = target;
    this.#streams.set(target, stream);
    this.#count(pathOf(target), 1);
  }

  delete(stream: MessageStream): void {
    stream.close();
    const { target } = stream;
    if (target === undefined || this.#streams.get(target) !== stream) return;
    this.#streams.delete(target);
    this.#count(pathOf(target), -1);
  }

  #count(path: string, by: number): void {
    const streams = (this.#paths.get(path) ?? 0) + by;
    if (streams === 0) this.#paths.delete(path);
    else this.#paths.set(path, streams);
  }
}

function pathOf(target: MessageTarget): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}
