import { EventSplitter, EventTooLong, type StreamEvent } from '../mcp/event-splitter.ts';
import type { Chunks } from './chunks.ts';

/** Most that is held back until it is known what the stream begins with; more than a chunk, as the first may hold later events too. */
const beginningBytesMax = 262_144;

/**
 * A stream of the transport of 2024-11-05, which begins with the event that says where messages are posted: `rewrite` gets what the
 * server said and gives what the client is told, or `undefined` to leave it. Everything after that goes on as it comes.
 */
export class EndpointChunks implements Chunks {
  readonly #source: Chunks;
  readonly #rewrite: (data: string) => string | undefined;
  readonly #splitter = new EventSplitter({ bytesMax: beginningBytesMax });
  #isFound = false;

  constructor(source: Chunks, rewrite: (data: string) => string | undefined) {
    this.#source = source;
    this.#rewrite = rewrite;
  }

  read(): Promise<Uint8Array | undefined> {
    return this.#isFound ? this.#source.read() : this.#find();
  }

  cancel(): void {
    this.#source.cancel();
  }

  async #find(): Promise<Uint8Array | undefined> {
    for (let chunk = await this.#source.read(); chunk !== undefined; chunk = await this.#source.read()) {
      const passed = this.#look(chunk);
      if (passed.byteLength > 0) return passed;
    }
    this.#isFound = true;
    const rest = this.#splitter.rest();
    return rest.byteLength === 0 ? undefined : rest;
  }

  #look(chunk: Uint8Array): Uint8Array {
    const before = this.#splitter.rest();
    const events = this.#split(chunk);
    if (events === undefined) return Buffer.concat([before, chunk]);
    const passed = events.map((event) => (this.#isFound ? event.raw : this.#judge(event)));
    return Buffer.concat(this.#isFound ? [...passed, this.#splitter.rest()] : passed);
  }

  /** Undefined: no server names an endpoint in so many words. */
  #split(chunk: Uint8Array): readonly StreamEvent[] | undefined {
    try {
      return this.#splitter.feed(chunk);
    } catch (error) {
      if (!(error instanceof EventTooLong)) throw error;
      this.#isFound = true;
      return undefined;
    }
  }

  #judge(event: StreamEvent): Uint8Array {
    if (!event.hasData) return event.raw;
    this.#isFound = true;
    const data = event.type === 'endpoint' ? this.#rewrite(event.data) : undefined;
    return data === undefined ? event.raw : new TextEncoder().encode(`event: endpoint\ndata: ${data}\n\n`);
  }
}
