/**
 * Event streams (HTML standard, "Parsing an event stream"), read as bytes come: lines end in LF, CR or CRLF, and a chunk may end
 * anywhere, within a character too. Nothing is kept but the name of a field, so a stream costs no memory however long its lines.
 */
export interface EventSink {
  /** A piece of the value of a field, or one that is empty: `line` tells pieces of one line from those of the next. */
  value(field: EventField, piece: Piece): void;
  /** A blank line: the event is complete. `end` is where the next one begins in the chunk. */
  eventEnd(end: number): void;
}

/** Fields with another name are nothing to anybody. */
export type EventField = 'data' | 'event' | 'id' | 'retry';

/** `bytes.subarray(start, end)`, without making one. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;
const space = 0x20;

const fields: ReadonlyMap<string, EventField> = new Map(
  (['data', 'event', 'id', 'retry'] as const).map((name) => [name, name]),
);
const nameCharsMax = 8;
/** UTF-8 of the mark that a stream may begin with, one character a byte. */
const byteOrderMark = '\u00ef\u00bb\u00bf';

type Position = 'lineStart' | 'name' | 'space' | 'value' | 'ignored';

export class EventLines {
  readonly #sink: EventSink;
  #position: Position = 'lineStart';
  #name = '';
  #field: EventField | undefined;
  #line = 0;
  #hasValue = false;
  #hasFields = false;
  #afterCarriageReturn = false;
  #mayBeMark = true;

  constructor(sink: EventSink) {
    this.#sink = sink;
  }

  /** Nothing of an event has come yet: here a comment may be put in. */
  get atBoundary(): boolean {
    return this.#position === 'lineStart' && !this.#hasFields;
  }

  feed(chunk: Uint8Array): void {
    let at = this.#afterCarriageReturn && chunk[0] === lineFeed ? 1 : 0;
    if (chunk.byteLength > 0) this.#afterCarriageReturn = false;
    let nextReturn = chunk.indexOf(carriageReturn, at);
    let nextFeed = chunk.indexOf(lineFeed, at);
    while (at < chunk.byteLength) {
      if (nextReturn !== -1 && nextReturn < at) nextReturn = chunk.indexOf(carriageReturn, at);
      if (nextFeed !== -1 && nextFeed < at) nextFeed = chunk.indexOf(lineFeed, at);
      const end = earlier(nextReturn, nextFeed);
      this.#content(chunk, at, end === -1 ? chunk.byteLength : end);
      if (end === -1) return;
      at = this.#afterLineEnd(chunk, end);
      this.#endLine(at);
    }
  }

  #afterLineEnd(chunk: Uint8Array, end: number): number {
    if (chunk[end] === lineFeed) return end + 1;
    this.#afterCarriageReturn = end + 1 === chunk.byteLength;
    return chunk[end + 1] === lineFeed ? end + 2 : end + 1;
  }

  #content(bytes: Uint8Array, from: number, end: number): void {
    let start = from;
    if (this.#position === 'lineStart' || this.#position === 'name') start = this.#readName(bytes, start, end);
    if (start < end && this.#position === 'space') {
      this.#position = 'value';
      if (bytes[start] === space) start += 1;
    }
    if (start === end || this.#position !== 'value' || this.#field === undefined) return;
    this.#hasValue = true;
    this.#sink.value(this.#field, { bytes, start, end, line: this.#line });
  }

  /** Returns where the value begins, if it does. */
  #readName(bytes: Uint8Array, start: number, end: number): number {
    // Nearly always the whole name is there, and it is this one.
    if (this.#position === 'lineStart' && beginsWithData(bytes, start, end)) {
      this.#field = 'data';
      this.#position = 'space';
      return start + dataColon.length;
    }
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === colon) {
        this.#beginValue();
        return at + 1;
      }
      this.#position = 'name';
      this.#name += String.fromCharCode(byte);
      if (this.#mayBeMark && this.#name === byteOrderMark) this.#forgetMark();
      if (this.#name.length > nameCharsMax) {
        this.#position = 'ignored';
        return end;
      }
    }
    return end;
  }

  #forgetMark(): void {
    this.#name = '';
    this.#mayBeMark = false;
    this.#position = 'lineStart';
  }

  #beginValue(): void {
    // A line that begins with a colon is a comment.
    this.#field = fields.get(this.#name);
    this.#position = this.#name === '' ? 'ignored' : 'space';
  }

  #endLine(at: number): void {
    this.#mayBeMark = false;
    if (this.#position === 'lineStart') {
      this.#sink.eventEnd(at);
      this.#hasFields = false;
      this.#line = 0;
    } else {
      this.#endField();
    }
    this.#name = '';
    this.#field = undefined;
    this.#hasValue = false;
    this.#position = 'lineStart';
  }

  #endField(): void {
    // Without a colon the whole line is the name, of a field without value.
    const field = this.#position === 'name' ? fields.get(this.#name) : this.#field;
    if (field !== undefined && !this.#hasValue) {
      this.#sink.value(field, { bytes: none, start: 0, end: 0, line: this.#line });
    }
    if (this.#position !== 'ignored' || this.#name !== '') this.#hasFields = true;
    this.#line += 1;
  }
}

const none = new Uint8Array();
const dataColon = new TextEncoder().encode('data:');

function beginsWithData(bytes: Uint8Array, start: number, end: number): boolean {
  if (start + dataColon.length > end) return false;
  for (let index = 0; index < dataColon.length; index += 1) {
    if (bytes[start + index] !== dataColon[index]) return false;
  }
  return true;
}

function earlier(one: number, other: number): number {
  if (one === -1) return other;
  return other === -1 ? one : Math.min(one, other);
}
