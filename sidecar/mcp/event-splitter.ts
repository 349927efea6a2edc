import { EventLines, type EventField, type Piece } from './event-lines.ts';

/** One event of a stream, as it came. */
export class StreamEvent {
  /** All its bytes, comments and the blank line at its end among them: to be handed on as they are. */
  readonly raw: Uint8Array;
  readonly #parts: EventParts;

  constructor(raw: Uint8Array, parts: EventParts) {
    this.raw = raw;
    this.#parts = parts;
  }

  /** Of the field `event`; empty when there is none, which means `message`. */
  get type(): string {
    return decode(this.raw, this.#parts.types.slice(-1));
  }

  /** Of the fields `data`, joined by line feeds. */
  get data(): string {
    return decode(this.raw, this.#parts.data);
  }

  /** Without a field `data` an event is nothing to a client. */
  get hasData(): boolean {
    return this.#parts.data.length > 0;
  }
}

/** Where values are in the raw bytes. One range a line. */
interface EventParts {
  readonly types: Range[];
  readonly data: Range[];
}

interface Range {
  readonly line: number;
  readonly start: number;
  end: number;
}

// `ignoreBOM` keeps a mark in the text: it is one only at the beginning of the stream.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function decode(raw: Uint8Array, ranges: readonly Range[]): string {
  return ranges.map(({ start, end }) => decoder.decode(raw.subarray(start, end))).join('\n');
}

export class EventTooLong extends Error {
  readonly code = 'ERR_EVENT_TOO_LONG';

  constructor(bytesMax: number) {
    super(`an event is longer than ${bytesMax} bytes`);
    this.name = 'EventTooLong';
  }
}

/** Cuts a stream into its events. Keeps back only the event that is not complete, and no more of it than `bytesMax`. */
export class EventSplitter {
  readonly #bytesMax: number;
  readonly #lines: EventLines;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #parts: EventParts = newParts();
  #complete: StreamEvent[] = [];
  #chunk: Uint8Array = new Uint8Array();
  /** Where the event begins in the chunk; what is held comes before. */
  #start = 0;

  constructor({ bytesMax }: { readonly bytesMax: number }) {
    this.#bytesMax = bytesMax;
    this.#lines = new EventLines({
      value: (field, piece) => this.#value(field, piece),
      eventEnd: (end) => this.#eventEnd(end),
    });
  }

  /** The events that are complete now. @throws EventTooLong */
  feed(chunk: Uint8Array): readonly StreamEvent[] {
    this.#chunk = chunk;
    this.#start = 0;
    this.#complete = [];
    this.#lines.feed(chunk);
    this.#hold(chunk.subarray(this.#start));
    return this.#complete;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The bytes that are kept back. */
  rest(): Uint8Array {
    return joined(this.#held, this.#heldBytes);
  }

  #hold(rest: Uint8Array): void {
    if (rest.byteLength === 0) return;
    this.#heldBytes += rest.byteLength;
    if (this.#heldBytes > this.#bytesMax) throw new EventTooLong(this.#bytesMax);
    this.#held.push(rest);
  }

  #value(field: EventField, { start, end, line }: Piece): void {
    if (field === 'id' || field === 'retry') return;
    const ranges = field === 'data' ? this.#parts.data : this.#parts.types;
    const last = ranges.at(-1);
    // An empty value is nowhere, so it has no place in the chunk.
    const offset = start === end ? 0 : this.#heldBytes - this.#start;
    if (last?.line === line) last.end = end + offset;
    else ranges.push({ line, start: start + offset, end: end + offset });
  }

  #eventEnd(end: number): void {
    this.#hold(this.#chunk.subarray(this.#start, end));
    this.#complete.push(new StreamEvent(joined(this.#held, this.#heldBytes), this.#parts));
    this.#start = end;
    this.#held = [];
    this.#heldBytes = 0;
    this.#parts = newParts();
  }
}

function newParts(): EventParts {
  return { types: [], data: [] };
}

function joined(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const whole = new Uint8Array(bytes);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.byteLength;
  }
  return whole;
}
