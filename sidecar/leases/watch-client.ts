import type { ServerRef } from '../contract/lease.ts';
import { parseWatchMessage } from '../contract/parse.ts';
import type { PolicySnapshot, WatchMessage } from '../contract/watch.ts';
import { heartbeatMs, silenceMsMax, watchLineBytesMax } from '../contract/watch.ts';
import { type Backoff, backoffMs, pause } from './backoff.ts';
import { readLines } from './lines.ts';

/** What a watch tells its listener, in order. */
export interface WatchListener {
  /** A stream began. `missed`: invalidations may have been missed since the last one. */
  snapshot(policy: PolicySnapshot, missed: Missed | undefined): void;
  invalidate(subjectKey: string): void;
  /** Nothing was heard for `silenceMsMax`. */
  silent(): void;
  /** A stream ended or could not be opened. */
  interrupted(error: unknown): void;
}

/** A gap in which something may have happened. */
export interface Missed {
  /** What is left of the time that leases of before may be used for, had the silence gone on. 0: none of it. */
  readonly usableMs: number;
}

export interface WatchClientOptions {
  readonly server: ServerRef;
  /** Opens `path`. @throws when there is no stream */
  readonly open: (path: string, signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;
  readonly listener: WatchListener;
  /** Monotonic. */
  readonly nowMs: () => number;
}

export const watchBackoff: Backoff = { firstMs: 100, mostMs: 2_000 };

/** Two heartbeats and a half: the stream is dead although nobody said so, and there is still time to open another. */
export const stallMsMax = heartbeatMs * 2.5;

/** Follows the policy of one server for as long as the process lives. */
export class WatchClient {
  readonly #options: WatchClientOptions;
  readonly #stopped = new AbortController();
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #revision: string | undefined;
  #connected = false;
  #policy: PolicySnapshot | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WatchClientOptions) {
    this.#options = options;
  }

  get policy(): PolicySnapshot | undefined {
    return this.#policy;
  }

  /** Whether a stream is open right now. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Whether no invalidation can have been missed for longer than `silenceMsMax`. By the clock: a timer may come late. */
  isWatching(): boolean {
    return this.#options.nowMs() - this.#heardAtMs < silenceMsMax;
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const stopped = this.#stopped.signal;
    for (let attempt = 0; !stopped.aborted; attempt += 1) {
      const heardBeforeMs = this.#heardAtMs;
      await this.#follow();
      if (this.#heardAtMs !== heardBeforeMs) attempt = 0;
      await pause(backoffMs(watchBackoff, attempt), stopped);
    }
  }

  stop(): void {
    clearTimeout(this.#silence);
    this.#stopped.abort();
  }

  async #follow(): Promise<void> {
    const stream = new AbortController();
    const stall = new Stall(stream);
    try {
      const signal = AbortSignal.any([this.#stopped.signal, stream.signal]);
      stall.restart();
      const chunks = await this.#options.open(this.#path(), signal);
      for await (const line of readLines(chunks, watchLineBytesMax)) {
        if (signal.aborted) break;
        this.#take(parseWatchMessage(JSON.parse(line)));
        stall.restart();
      }
      throw new Error('the stream ended');
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#options.listener.interrupted(error);
    } finally {
      this.#connected = false;
      stall.end();
      stream.abort();
    }
  }

  #path(): string {
    const query = new URLSearchParams({ ...this.#options.server });
    if (this.#revision !== undefined) query.set('revision', this.#revision);
    return `/v1/watch?${query.toString()}`;
  }

  #take(message: WatchMessage): void {
    switch (message.kind) {
      case 'snapshot':
        this.#begin(message.policy, message.revision);
        break;
      case 'invalidate':
        if (!this.#connected) throw new Error('the stream does not begin with a snapshot');
        this.#options.listener.invalidate(message.subjectKey);
        break;
      case 'heartbeat':
        if (!this.#connected) throw new Error('the stream does not begin with a snapshot');
        break;
    }
    this.#revision = message.revision;
    this.#heard();
  }

  #begin(policy: PolicySnapshot, revision: string): void {
    const { namespace, name } = this.#options.server;
    if (policy.server.namespace !== namespace || policy.server.name !== name) {
      throw new Error('the snapshot is of another server');
    }
    // A revision that did not move is one of the same broker, in which nothing has happened since.
    const mayHaveMissed = this.#connected || revision !== this.#revision;
    const usableMs = Math.max(0, silenceMsMax - (this.#options.nowMs() - this.#heardAtMs));
    this.#policy = policy;
    this.#connected = true;
    this.#options.listener.snapshot(policy, mayHaveMissed ? { usableMs } : undefined);
  }

  #heard(): void {
    this.#heardAtMs = this.#options.nowMs();
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#options.listener.silent(), silenceMsMax);
  }
}

/** Aborts a stream on which nothing has come for `stallMsMax`. */
class Stall {
  readonly #stream: AbortController;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(stream: AbortController) {
    this.#stream = stream;
  }

  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stream.abort(), stallMsMax);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
