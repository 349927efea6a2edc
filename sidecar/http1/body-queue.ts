/** Most bytes of one answer that wait for a slow reader before the sender has to wait. */
export const queuedBytesMax = 65_536;

/** The connection behind a body. */
export interface BodySource {
  pause(): void;
  resume(): void;
  /** Nobody reads on. */
  abandon(): void;
  /** So many bytes wait here for whoever reads. */
  waits(bytes: number): void;
}

/** A body on its way: what came and was not asked for yet, bounded by making the sender wait. */
export class BodyQueue {
  readonly #source: BodySource;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #paused = false;
  #state: 'open' | 'ended' | 'cancelled' | { readonly error: Error } = 'open';
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** The next bytes; `undefined` after the last ones. Rejects when the answer broke off. */
  read(): Promise<Uint8Array | undefined> {
    const next = this.#queue.shift();
    if (next !== undefined) {
      this.#count(-next.byteLength);
      if (this.#paused && this.#queuedBytes === 0) this.#resume();
      return Promise.resolve(next);
    }
    if (typeof this.#state === 'object') return Promise.reject(this.#state.error);
    if (this.#state !== 'open') return Promise.resolve(undefined);
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  /** Lets go of the connection, unless the answer has come whole. A read that waits resolves `undefined`. */
  cancel(): void {
    if (this.#state === 'open') this.#source.abandon();
    this.#state = 'cancelled';
    this.#empty();
    this.#settle((waiting) => waiting.resolve(undefined));
  }

  push(bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    if (this.#waiting !== undefined) return this.#settle((waiting) => waiting.resolve(bytes));
    this.#queue.push(bytes);
    this.#count(bytes.byteLength);
    if (this.#queuedBytes > queuedBytesMax) this.#pause();
  }

  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#settle((waiting) => waiting.resolve(undefined));
  }

  /** What has come is still handed out first. */
  fail(error: Error): void {
    if (this.#state !== 'open') return;
    this.#state = { error };
    this.#settle((waiting) => waiting.reject(error));
  }

  /** What has come is not handed out any more. */
  drop(error: Error): void {
    if (this.#state === 'cancelled') return;
    if (this.#state === 'open') this.#source.abandon();
    this.#state = { error };
    this.#empty();
    this.#settle((waiting) => waiting.reject(error));
  }

  #empty(): void {
    this.#queue = [];
    this.#count(-this.#queuedBytes);
  }

  #count(byBytes: number): void {
    if (byBytes === 0) return;
    this.#queuedBytes += byBytes;
    this.#source.waits(this.#queuedBytes);
  }

  #pause(): void {
    if (!this.#paused) this.#source.pause();
    this.#paused = true;
  }

  #resume(): void {
    this.#paused = false;
    // After its end the connection is no longer this body's.
    if (this.#state === 'open') this.#source.resume();
  }

  #settle(answer: (waiting: PromiseWithResolvers<Uint8Array | undefined>) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) answer(waiting);
  }
}
