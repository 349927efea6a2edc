import { Buffer } from 'node:buffer';

import { rpcErrorBody } from '../mcp/answers.ts';
import { EventLines } from '../mcp/event-lines.ts';
import { EventSplitter, type StreamEvent } from '../mcp/event-splitter.ts';
import type { Era, RequestId } from '../mcp/message.ts';
import type { FilteredMessage } from '../mcp/result-list.ts';
import {
  type Beginning,
  beginningOf,
  filterTaskList,
  type KnowsTask,
  tellsOfOthersTask,
} from '../mcp/task-messages.ts';
import { filterToolList } from '../mcp/tool-list.ts';
import type { ToolFilter } from '../mcp/tool-rules.ts';
import type { BodyHold } from './body-budget.ts';
import type { Chunks } from './chunks.ts';
import { listUnreadable, proxyErrors } from './errors.ts';

/** Longest list of tools, or event of a stream in which there can be one, in bytes. */
export const listBytesMax = 8_388_608;

export interface FilteredEventsOptions {
  /** Always undefined where no list of tools can come. */
  readonly tools: () => ToolFilter | undefined;
  /** Whether the user who reads the stream may know of a task. */
  readonly knowsTask: KnowsTask;
  /** Whether a list of tasks can come: as the answer, or as one that is resumed. */
  readonly mayListTasks: boolean;
  readonly era: Era;
  /** Of the request that the stream answers; undefined on a stream that answers many. */
  readonly requestId: RequestId | undefined;
  /** For the event that is not complete. */
  readonly hold: BodyHold;
}

/**
 * A stream without the tools that a policy hides and without other users' tasks, event by event: one that cannot be judged is taken
 * out and the others go on. The policy is that of the moment. Bytes go through as they come, but for an event of which it is not
 * known yet whether it is of that kind: nearly always its beginning tells.
 */
export class FilteredEvents implements Chunks {
  readonly #source: Chunks;
  readonly #options: FilteredEventsOptions;
  #splitter = newSplitter();
  /** Where the stream is in an event of which a part is out already; undefined while none is. */
  #passing: EventLines | undefined;
  #passingEnd = -1;

  constructor(source: Chunks, options: FilteredEventsOptions) {
    this.#source = source;
    this.#options = options;
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      for (let chunk = await this.#source.read(); chunk !== undefined; chunk = await this.#source.read()) {
        const bytes = this.#take(chunk);
        if (bytes.byteLength > 0) return bytes;
      }
    } catch (error) {
      this.#source.cancel();
      this.#options.hold[Symbol.dispose]();
      throw error;
    }
    const rest = this.#finish();
    this.#options.hold[Symbol.dispose]();
    return rest;
  }

  /** An event that is not complete is none to a client, and goes on as it is where it could as a whole one. */
  #finish(): Uint8Array | undefined {
    if (this.#splitter.heldBytes === 0) return undefined;
    const rest = this.#splitter.rest();
    const whole = this.#splitter.feed(blankLines)[0];
    this.#splitter = newSplitter();
    return whole !== undefined && this.#judge(whole, this.#options.tools()) === whole.raw ? rest : undefined;
  }

  cancel(): void {
    this.#options.hold[Symbol.dispose]();
    this.#source.cancel();
  }

  #take(chunk: Uint8Array): Uint8Array {
    if (this.#passing === undefined) return this.#takeEvents(chunk);
    // An event of which a part is out already goes on.
    this.#passingEnd = -1;
    this.#passing.feed(chunk);
    if (this.#passingEnd === -1) return chunk;
    this.#passing = undefined;
    const end = this.#passingEnd;
    return end === chunk.byteLength ? chunk : joined([chunk.subarray(0, end), this.#takeEvents(chunk.subarray(end))]);
  }

  /** `chunk` begins where an event does, or goes on with the one that is held. */
  #takeEvents(chunk: Uint8Array): Uint8Array {
    const filter = this.#options.tools();
    const { heldBytes } = this.#splitter;
    // Most chunks end with an event, which their last bytes tell.
    if (heldBytes === 0 && filter === undefined && endsEvent(chunk) && !this.#mayBeAboutTasks(chunk)) return chunk;
    const events = this.#splitter.feed(chunk);
    const pieces = events.map((event) => this.#judge(event, filter));
    // A beginning that has not told by now will not.
    const isBegun = this.#splitter.heldBytes > 0 && (events.length > 0 || heldBytes < beginningBytesMax);
    if (filter === undefined && isBegun) pieces.push(this.#release());
    this.#options.hold[Symbol.dispose]();
    if (this.#splitter.heldBytes > 0) this.#options.hold.take(this.#splitter.heldBytes);
    return joined(pieces);
  }

  #mayBeAboutTasks(chunk: Uint8Array): boolean {
    return this.#options.mayListTasks ? mayList(chunk) : mayNotify(chunk);
  }

  /** What of the held event can go on: all, if its beginning tells that there is nothing to judge; else what comes before its data. */
  #release(): Uint8Array {
    const rest = this.#splitter.rest();
    const dataAt = endOfLeadingLines(rest);
    if (!this.#isHarmless(rest.subarray(dataAt))) {
      if (dataAt === 0) return none;
      this.#splitter = newSplitter();
      this.#splitter.feed(rest.subarray(dataAt));
      return rest.subarray(0, dataAt);
    }
    this.#splitter = newSplitter();
    this.#passing = new EventLines({
      value: () => {},
      eventEnd: (end) => {
        if (this.#passingEnd === -1) this.#passingEnd = end;
      },
    });
    this.#passing.feed(rest);
    return rest;
  }

  #isHarmless(begun: Uint8Array): boolean {
    const data = dataBeginning.exec(decoder.decode(begun.subarray(0, beginningBytesMax)))?.[1];
    if (data === undefined || data === '') return false;
    // No JSON-RPC message: whatever it is, nobody takes it for one.
    if (/^\s*[^\s{[\uFEFF\0]/.test(data)) return true;
    const beginning = beginningOf(data);
    return beginning !== 'unknown' && (beginning !== 'answer' || !this.#options.mayListTasks);
  }

  #judge(event: StreamEvent, filter: ToolFilter | undefined): Uint8Array {
    if (!event.hasData) return event.raw;
    const text = event.data;
    const listed = filter === undefined ? unchanged : filterToolList(text, filter, this.#options.era);
    switch (listed.kind) {
      case 'unchanged':
        return this.#judgeTasks(event, text);
      case 'changed':
        return withData(event.raw, listed.text);
      case 'unreadable':
        return this.#unreadable(event);
    }
  }

  #judgeTasks({ raw }: StreamEvent, text: string): Uint8Array {
    const { mayListTasks, knowsTask } = this.#options;
    if (!mayListTasks && isAnswer(beginningOf(text))) return raw;
    if (tellsOfOthersTask(text, knowsTask)) return withData(raw, undefined);
    const listed = mayListTasks ? filterTaskList(text, knowsTask) : unchanged;
    switch (listed.kind) {
      case 'unchanged':
        return raw;
      case 'changed':
        return withData(raw, listed.text);
      case 'unreadable':
        return this.#unreadable({ raw });
    }
  }

  #unreadable({ raw }: Pick<StreamEvent, 'raw'>): Uint8Array {
    const { requestId } = this.#options;
    return withData(raw, requestId === undefined ? undefined : errorText(requestId));
  }
}

const unchanged: FilteredMessage = { kind: 'unchanged' };

function newSplitter(): EventSplitter {
  return new EventSplitter({ bytesMax: listBytesMax });
}

function isAnswer(beginning: Beginning): boolean {
  return beginning === 'answer' || beginning === 'otherAnswer';
}

const none = new Uint8Array();
const blankLines = Uint8Array.of(0x0a, 0x0a);

/** Enough to tell what a message is, however it is written. */
const beginningBytesMax = 1_024;

/** What is there of the first line of data. */
const dataBeginning = /(?:^|[\r\n])\uFEFF?data:([^\r\n]*)/;

/** Whether a notification about a task can be in it: its method is a text with this word, or with escapes. */
function mayNotify(chunk: Uint8Array): boolean {
  return includes(chunk, 'tasks') || includes(chunk, '\\u');
}

/** `task` in letters that some parser takes for these, or what could hide it: UTF-16, escapes, the long s and the Kelvin sign. */
const taskInBytes = /ask|\\u|\0|\u00C5\u00BF|\u00E2\u0084\u00AA/i;

function mayList(chunk: Uint8Array): boolean {
  return taskInBytes.test(Buffer.prototype.latin1Slice.call(chunk, 0, chunk.byteLength));
}

function includes(bytes: Uint8Array, text: string): boolean {
  return Buffer.prototype.includes.call(bytes, text, 0, 'latin1');
}

const leadingLines = /^(?:(?!(?:\u00EF\u00BB\u00BF)?data[:\r\n])[^\r\n]*(?:\r\n|\n|\r(?=[^\n])))*/;

/** Where the lines end that stand before the data of an event: comments and what stays of an event whose data is taken out. */
function endOfLeadingLines(bytes: Uint8Array): number {
  return leadingLines.exec(Buffer.prototype.latin1Slice.call(bytes, 0, bytes.byteLength))?.[0].length ?? 0;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

function errorText(requestId: RequestId): string {
  const { rpcCode } = proxyErrors.ListUnreadable;
  return decoder.decode(rpcErrorBody({ code: rpcCode, message: listUnreadable().message }, requestId));
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Whether the chunk ends with a blank line. */
function endsEvent(chunk: Uint8Array): boolean {
  const { length } = chunk;
  if (!isLineEnd(chunk[length - 1])) return false;
  const isPair = chunk[length - 1] === lineFeed && chunk[length - 2] === carriageReturn;
  return isLineEnd(chunk[length - (isPair ? 3 : 2)]);
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === lineFeed || byte === carriageReturn;
}

const dataLine = /^\uFEFF?data(?::|$)/;

/** The same event with other data, or without any, which makes it nothing to a client; its id still counts for resuming. */
function withData(raw: Uint8Array, data: string | undefined): Uint8Array {
  const lines = decoder.decode(raw).split(/\r\n|\r|\n/);
  // The blank line at the end leaves two empty ones.
  const others = lines.slice(0, -2).filter((line) => !dataLine.test(line));
  const dataLines = data === undefined ? [] : data.split(/\r\n|\r|\n/).map((line) => `data: ${line}`);
  return encoder.encode([...others, ...dataLines, '', ''].join('\n'));
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
