import { Buffer } from 'node:buffer';
import { ChunkedDecoder } from './chunked.ts';
import { HeadCollector } from './head-collector.ts';
import { Http1Error, malformed, otherProtocol } from './http1-error.ts';
import { type Framing, parseResponseHead, type ResponseHead } from './response-head.ts';

/** Longest head, bytes; answers before the final one (1xx) count in. */
export const headBytesMax = 65_536;

/** Reads one response from a connection, piece by piece as it arrives. After an error the connection is good for nothing. */
export class ResponseReader {
  readonly #heads = new HeadCollector(headBytesMax);
  #head: ResponseHead | undefined;
  #chunks: ChunkedDecoder | undefined;
  #bodyBytesLeft = 0;
  #done = false;
  #excess = false;

  /** Of the final response, once it is whole. */
  get head(): ResponseHead | undefined {
    return this.#head;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Whether bytes came that belong to no response: then nobody can say what the next ones are. */
  get excess(): boolean {
    return this.#excess;
  }

  /**
   * Takes what arrived, whose bytes it may move, and returns the content of the body in it.
   * @throws Http1Error `Malformed`
   */
  feed(bytes: Buffer): Uint8Array | undefined {
    if (this.#head === undefined && this.#heads.heldBytes === 0 && isSettings(bytes)) throw otherProtocol();
    let rest: Buffer | undefined = bytes;
    while (this.#head === undefined) {
      const found = this.#heads.take(rest);
      if (found === undefined) return undefined;
      const head = parseResponseHead(found.text);
      rest = found.rest;
      if (head.status === 101) throw malformed('another protocol than HTTP was switched to');
      if (head.status >= 200) this.#begin(head);
    }
    return this.#body(rest);
  }

  /**
   * The server has closed its side. Returns when that is how this body ends.
   * @throws Http1Error `BrokenOff`
   */
  end(): void {
    if (this.#head?.framing.kind !== 'untilClose') throw new Http1Error('BrokenOff', 'the answer is not complete');
    this.#done = true;
  }

  #begin(head: ResponseHead): void {
    this.#head = head;
    const { framing } = head;
    if (framing.kind === 'chunked') this.#chunks = new ChunkedDecoder();
    this.#bodyBytesLeft = bytesOf(framing);
    this.#done = this.#bodyBytesLeft === 0;
  }

  #body(bytes: Buffer): Uint8Array | undefined {
    if (bytes.byteLength === 0) return undefined;
    return this.#chunks === undefined ? this.#counted(bytes) : this.#decoded(bytes, this.#chunks);
  }

  #counted(bytes: Buffer): Uint8Array | undefined {
    const left = this.#bodyBytesLeft;
    this.#excess = bytes.byteLength > left;
    const content = this.#excess ? bytes.subarray(0, left) : bytes;
    this.#bodyBytesLeft -= content.byteLength;
    this.#done = this.#bodyBytesLeft === 0;
    return content.byteLength === 0 ? undefined : content;
  }

  #decoded(bytes: Buffer, chunks: ChunkedDecoder): Uint8Array | undefined {
    const contentBytes = chunks.decode(bytes);
    this.#done = chunks.done;
    this.#excess = chunks.consumed < bytes.byteLength;
    return contentBytes === 0 ? undefined : bytes.subarray(0, contentBytes);
  }
}

const frameHeadBytes = 9;
const settingsType = 4;

/** What a server of HTTP/2 begins with (RFC 9113, 3.4): a frame SETTINGS of stream 0, which is no status line. */
function isSettings(bytes: Buffer): boolean {
  return bytes.byteLength >= frameHeadBytes && bytes[3] === settingsType && bytes.readUInt32BE(5) === 0;
}

function bytesOf(framing: Framing): number {
  return framing.kind === 'length' ? framing.bytes : Number.POSITIVE_INFINITY;
}
