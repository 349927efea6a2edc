import type { RequestEvent } from '../contract/audit.ts';
import { auditBatchMax } from '../contract/audit.ts';
import { type Backoff, backoffMs, pause } from '../leases/backoff.ts';

export interface AuditSpoolOptions {
  /** Resolves the number of events that the broker has made durable. Rejects when that is not known. */
  readonly send: (batch: readonly EventText[]) => Promise<number>;
  readonly observer: SpoolObserver;
  readonly limits?: SpoolLimits;
}

export interface SpoolObserver {
  sent(events: number): void;
  failed(error: unknown): void;
  /** A request was refused because there is no room for its event. */
  full(): void;
}

export interface SpoolLimits {
  /** Events that wait, and events of requests under way, together. */
  readonly eventsMax: number;
  readonly lingerMs: number;
  readonly backoff: Backoff;
}

export const spoolLimits: SpoolLimits = {
  eventsMax: 10_000,
  lingerMs: 200,
  backoff: { firstMs: 100, mostMs: 2_000 },
};

/** Largest batch in characters of JSON, well under what the broker takes. */
export const batchCharsMax = 1_000_000;

/** A `RequestEvent` in JSON. Written once: to count its size, to keep it small, to send it as often as it takes. */
export type EventText = string;

/**
 * Audit events on their way to the broker. In memory and bounded: a request takes its place before it is served, and is refused
 * when there is none. A batch is sent until it is accepted, with the same ids, so a repeated one records nothing twice.
 */
export class AuditSpool {
  readonly #options: AuditSpoolOptions;
  readonly #limits: SpoolLimits;
  readonly #stopped = new AbortController();
  #waiting: EventText[] = [];
  #places = 0;
  #loop: Promise<void> | undefined;
  #hurry = false;

  constructor(options: AuditSpoolOptions) {
    this.#options = options;
    this.#limits = options.limits ?? spoolLimits;
  }

  /** Events that wait to be sent. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Takes a place for one event; false when the queue is full. A place is given back only by an event that was accepted. */
  reserve(): boolean {
    if (this.#places >= this.#limits.eventsMax) {
      this.#options.observer.full();
      return false;
    }
    this.#places += 1;
    return true;
  }

  /** Fills a place that was taken. */
  fill(event: RequestEvent): void {
    this.#waiting.push(JSON.stringify(event));
    this.#loop ??= this.#run();
  }

  /** Sends what waits. Resolves the number of events that could not be sent within `msMax`. */
  async flush(msMax: number): Promise<number> {
    this.#hurry = true;
    const timer = setTimeout(() => this.#stopped.abort(), msMax);
    await this.#loop;
    clearTimeout(timer);
    return this.#waiting.length;
  }

  async #run(): Promise<void> {
    await this.#linger();
    let attempt = 0;
    while (this.#waiting.length > 0 && !this.#stopped.signal.aborted) {
      const batch = nextBatch(this.#waiting);
      if (await this.#sendOnce(batch)) attempt = 0;
      else await pause(backoffMs(this.#limits.backoff, attempt++), this.#stopped.signal);
    }
    this.#loop = undefined;
  }

  async #linger(): Promise<void> {
    if (!this.#hurry) await pause(this.#limits.lingerMs, this.#stopped.signal);
  }

  async #sendOnce(batch: readonly EventText[]): Promise<boolean> {
    try {
      const accepted = await this.#options.send(batch);
      if (accepted !== batch.length) throw new Error(`the broker accepted ${accepted} of ${batch.length} events`);
    } catch (error) {
      this.#options.observer.failed(error);
      return false;
    }
    this.#waiting = this.#waiting.slice(batch.length);
    this.#places -= batch.length;
    this.#options.observer.sent(batch.length);
    return true;
  }
}

function nextBatch(waiting: readonly EventText[]): readonly EventText[] {
  let chars = 0;
  let events = 0;
  for (const text of waiting) {
    chars += text.length;
    if (events === auditBatchMax || (events > 0 && chars > batchCharsMax)) break;
    events += 1;
  }
  return waiting.slice(0, events);
}
