import { Buffer } from 'node:buffer';
import { BodyQueue, type BodySource } from './body-queue.ts';
import { ChunkedDecoder } from './chunked.ts';
import { malformed } from './http1-error.ts';

/** The body of a request as it comes, whole at once where it came together with its head. */
export class ReceivedBody {
  /** `Content-Length`; `undefined` for a chunked body. */
  readonly declaredBytes: number | undefined;
  readonly #source: BodySource;
  readonly #chunks: ChunkedDecoder | undefined;
  #bytesLeft: number;
  #contentBytes = 0;
  #framingBytes = 0;
  #first: Uint8Array | undefined;
  #queue: BodyQueue | undefined;
  #error: Error | undefined;

  constructor(declaredBytes: number | undefined, source: BodySource) {
    this.declaredBytes = declaredBytes;
    this.#source = source;
    this.#chunks = declaredBytes === undefined ? new ChunkedDecoder() : undefined;
    this.#bytesLeft = declaredBytes ?? 0;
  }

  /** Every byte is here. */
  get isComplete(): boolean {
    return this.#chunks === undefined ? this.#bytesLeft === 0 : this.#chunks.done;
  }

  /**
   * Takes what arrived, whose bytes it may move, and returns what lies behind the body.
   * @throws Http1Error `Malformed`
   */
  feed(bytes: Buffer): Buffer | undefined {
    return this.#chunks === undefined ? this.#counted(bytes) : this.#decoded(bytes, this.#chunks);
  }

  /** It will not become complete. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#queue?.fail(error);
  }

  /** The whole body where all of it is here and nobody has begun to read it. */
  here(): Uint8Array | undefined {
    if (!this.isComplete || this.#queue !== undefined) return undefined;
    if (this.#first !== undefined) this.#source.waits(0);
    return this.#first ?? nothing;
  }

  /** To be read once. */
  chunks(): BodyQueue {
    this.#source.resume();
    const queue = this.#open();
    if (this.isComplete) queue.end();
    return queue;
  }

  #counted(bytes: Buffer): Buffer | undefined {
    const content = bytes.byteLength > this.#bytesLeft ? bytes.subarray(0, this.#bytesLeft) : bytes;
    this.#bytesLeft -= content.byteLength;
    this.#take(content);
    return content.byteLength < bytes.byteLength ? bytes.subarray(content.byteLength) : undefined;
  }

  #decoded(bytes: Buffer, chunks: ChunkedDecoder): Buffer | undefined {
    const contentBytes = chunks.decode(bytes);
    this.#contentBytes += contentBytes;
    this.#framingBytes += chunks.consumed - contentBytes;
    if (this.#framingBytes > framingBytesMin + framingPerContentMax * this.#contentBytes) {
      throw malformed('the chunks say more of themselves than they hold');
    }
    const content = bytes.subarray(0, contentBytes);
    // A piece keeps the memory of all that came with it.
    this.#take(contentBytes * 2 < bytes.byteLength ? Buffer.from(content) : content);
    return chunks.consumed < bytes.byteLength ? bytes.subarray(chunks.consumed) : undefined;
  }

  #take(content: Buffer): void {
    if (content.byteLength > 0) {
      if (this.#first === undefined && this.#queue === undefined) this.#keep(content);
      else this.#open().push(content);
    }
    if (this.isComplete) this.#queue?.end();
  }

  #keep(content: Buffer): void {
    this.#first = content;
    this.#source.waits(content.byteLength);
  }

  #open(): BodyQueue {
    if (this.#queue !== undefined) return this.#queue;
    const queue = new BodyQueue(this.#source);
    this.#queue = queue;
    if (this.#first !== undefined) queue.push(this.#first);
    this.#first = undefined;
    if (this.#error !== undefined) queue.fail(this.#error);
    return queue;
  }
}

/** A chunk of one byte has five around it. */
const framingPerContentMax = 8;
const framingBytesMin = 32_768;
const nothing = Buffer.alloc(0);
