import { rpcErrorBody } from '../mcp/answers.ts';
import { EventLines } from '../mcp/event-lines.ts';
import { EventSplitter, type StreamEvent } from '../mcp/event-splitter.ts';
import type { Era, RequestId } from '../mcp/message.ts';
import { filterToolList } from '../mcp/tool-list.ts';
import type { ToolFilter } from '../mcp/tool-rules.ts';
import type { BodyHold } from './body-budget.ts';
import type { Chunks } from './chunks.ts';
import { listUnreadable, proxyErrors } from './errors.ts';
import type { ToolsInForce } from './layers/authorize-tool.ts';

/** Longest list of tools, or event of a stream in which there can be one, in bytes. */
export const listBytesMax = 8_388_608;

export interface FilteredEventsOptions {
  readonly tools: ToolsInForce;
  readonly era: Era;
  /** Of the request that the stream answers; undefined on a stream that answers many. */
  readonly requestId: RequestId | undefined;
  /** For the event that is not complete. */
  readonly hold: BodyHold;
}

/**
 * A stream without the tools that a policy hides, event by event: one that cannot be judged is taken out and the others go on. The
 * policy is that of the moment. As long as there is none, bytes go through as they come, and only where events end is remembered.
 */
export class FilteredEvents implements Chunks {
  readonly #source: Chunks;
  readonly #options: FilteredEventsOptions;
  /** Where a stream without a policy is in its event; undefined at the end of one. */
  #lines: EventLines | undefined;
  #eventEnd = -1;
  #splitter: EventSplitter | undefined;

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
    // An event that did not become complete is none.
    this.#options.hold[Symbol.dispose]();
    return undefined;
  }

  cancel(): void {
    this.#options.hold[Symbol.dispose]();
    this.#source.cancel();
  }

  #take(chunk: Uint8Array): Uint8Array {
    const filter = this.#options.tools();
    if (this.#splitter !== undefined) return this.#filter(chunk, this.#splitter, filter);
    if (filter === undefined) {
      this.#follow(chunk);
      return chunk;
    }
    const begun = this.#lines === undefined ? 0 : this.#endOfBegunEvent(chunk, this.#lines);
    if (begun === -1) return chunk;
    this.#splitter = new EventSplitter({ bytesMax: listBytesMax });
    const filtered = this.#filter(chunk.subarray(begun), this.#splitter, filter);
    return begun === 0 ? filtered : joined([chunk.subarray(0, begun), filtered]);
  }

  /** Most chunks end with an event, which their last bytes tell. */
  #follow(chunk: Uint8Array): void {
    if (endsEvent(chunk)) {
      this.#lines = undefined;
      return;
    }
    this.#lines ??= new EventLines({
      value: () => {},
      eventEnd: (end) => {
        if (this.#eventEnd === -1) this.#eventEnd = end;
      },
    });
    this.#lines.feed(chunk);
    if (this.#lines.atBoundary) this.#lines = undefined;
  }

  /** An event of which a part is out already goes on. */
  #endOfBegunEvent(chunk: Uint8Array, lines: EventLines): number {
    this.#eventEnd = -1;
    lines.feed(chunk);
    return this.#eventEnd;
  }

  #filter(chunk: Uint8Array, splitter: EventSplitter, filter: ToolFilter | undefined): Uint8Array {
    const { hold } = this.#options;
    hold.take(chunk.byteLength);
    const events = splitter.feed(chunk);
    if (splitter.heldBytes === 0) hold[Symbol.dispose]();
    return joined(events.map((event) => (filter === undefined ? event.raw : this.#judge(event, filter))));
  }

  #judge(event: StreamEvent, filter: ToolFilter): Uint8Array {
    if (!event.hasData) return event.raw;
    const { era, requestId } = this.#options;
    const filtered = filterToolList(event.data, filter, era);
    switch (filtered.kind) {
      case 'unchanged':
        return event.raw;
      case 'changed':
        return withData(event.raw, filtered.text);
      case 'unreadable':
        return withData(event.raw, requestId === undefined ? undefined : errorText(requestId));
    }
  }
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
