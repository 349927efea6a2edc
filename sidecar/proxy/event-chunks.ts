import type { EventLines } from '../mcp/event-lines.ts';
import type { Chunks } from './chunks.ts';
import type { Pulse } from './pulse.ts';

/** Longest that the head of an event stream waits for the first event. */
export const headFlushMs = 5;

/** Most events of ours that wait. */
const oursMax = 64;

const comment = new TextEncoder().encode(':\n\n');
const byteOrderMark = [0xef, 0xbb, 0xbf] as const;

export interface EventChunksOptions {
  readonly source: Chunks;
  /** Gets every byte of the upstream. */
  readonly lines: EventLines;
  readonly pulse: Pulse;
  /** Called when nothing comes any more, maybe more than once. */
  readonly ended?: () => void;
}

type Pulled =
  | { readonly kind: 'chunk'; readonly chunk: Uint8Array | undefined }
  | { readonly kind: 'failure'; readonly error: unknown };

/**
 * An event stream on its way to the client: the chunks as they come, looked at and not changed, and a comment where there is silence,
 * which is nothing to a client (HTML standard, "Interpreting an event stream") but keeps proxies on the way from giving up.
 * The first silence is that before the first event: the HTTP server and some edges keep the head of a response back until the first
 * byte of its body (oven-sh/bun#33660), and a client could not tell an open stream from a dead server.
 */
export class EventChunks implements Chunks {
  readonly #source: Chunks;
  readonly #lines: EventLines;
  readonly #pulse: Pulse;
  readonly #ended: () => void;
  /** Events of ours that wait for a place between those of the upstream. */
  readonly #ours: Uint8Array[] = [];
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #isPulling = false;
  #isBegun = false;
  /** A comment was put before the first byte of the upstream. */
  #isCommented = false;
  #isFirst = true;
  #silentBeats = 0;
  /** What came from the upstream while nobody read, because a comment was handed out meanwhile. */
  #held: Pulled | undefined;
  #flush: ReturnType<typeof setTimeout> | undefined;

  constructor({ source, lines, pulse, ended = () => {} }: EventChunksOptions) {
    this.#source = source;
    this.#lines = lines;
    this.#pulse = pulse;
    this.#ended = ended;
  }

  read(): Promise<Uint8Array | undefined> {
    const reader = Promise.withResolvers<Uint8Array | undefined>();
    this.#reader = reader;
    if (this.#held !== undefined) this.#settle(this.#held);
    else this.#giveOurs();
    if (this.#reader !== undefined && !this.#isPulling) this.#pull();
    if (!this.#isBegun) this.#begin();
    return reader.promise;
  }

  /** Puts an event of ours where the next one ends; false when too many wait, as the client does not read. */
  insert(event: Uint8Array): boolean {
    if (this.#ours.length >= oursMax) return false;
    this.#ours.push(event);
    this.#giveOurs();
    return true;
  }

  cancel(): void {
    this.#end();
    this.#source.cancel();
    this.#reader?.resolve(undefined);
    this.#reader = undefined;
  }

  beat(): void {
    this.#silentBeats += 1;
    if (this.#silentBeats >= this.#pulse.silentBeats) this.#comment();
  }

  #begin(): void {
    this.#isBegun = true;
    this.#pulse.add(this);
    this.#flush = setTimeout(() => this.#comment(), headFlushMs);
  }

  #end(): void {
    clearTimeout(this.#flush);
    this.#pulse.delete(this);
    this.#ended();
  }

  #comment(): void {
    this.#give(comment.slice());
  }

  #giveOurs(): void {
    const [next] = this.#ours;
    if (next !== undefined && this.#give(next)) this.#ours.shift();
  }

  /** Gives something of ours to whoever reads, if it has a place here. */
  #give(bytes: Uint8Array): boolean {
    if (this.#reader === undefined || !this.#lines.atBoundary) return false;
    this.#silentBeats = 0;
    this.#isCommented ||= this.#isFirst;
    this.#reader.resolve(bytes);
    this.#reader = undefined;
    return true;
  }

  #pull(): void {
    this.#isPulling = true;
    this.#source.read().then(
      (chunk) => this.#pulled(chunk),
      (error: unknown) => this.#failed(error),
    );
  }

  #pulled(chunk: Uint8Array | undefined): void {
    this.#isPulling = false;
    this.#silentBeats = 0;
    if (chunk === undefined) this.#end();
    this.#settle({ kind: 'chunk', chunk: chunk === undefined ? undefined : this.#look(chunk) });
  }

  #failed(error: unknown): void {
    this.#isPulling = false;
    this.#end();
    this.#settle({ kind: 'failure', error });
  }

  /** Gives it to whoever reads, or keeps it until somebody does. */
  #settle(pulled: Pulled): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#held = reader === undefined ? pulled : undefined;
    if (pulled.kind === 'chunk') reader?.resolve(pulled.chunk);
    else reader?.reject(pulled.error);
  }

  #look(chunk: Uint8Array): Uint8Array {
    this.#lines.feed(chunk);
    if (!this.#isFirst) return chunk;
    this.#isFirst = false;
    clearTimeout(this.#flush);
    // A mark is one only at the very beginning; after a comment it would be part of a field's name.
    const isMarked = this.#isCommented && byteOrderMark.every((byte, index) => chunk[index] === byte);
    return isMarked ? chunk.subarray(byteOrderMark.length) : chunk;
  }
}
