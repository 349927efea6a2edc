import { AuditError } from './audit-error.ts';
import { auditLimits } from './audit-limits.ts';
import type { EventRow } from './event-rows.ts';

export interface CommitQueueOptions {
  /** Resolves once all rows are durable. One call at a time. */
  readonly commit: (rows: readonly EventRow[]) => Promise<number>;
  /** Told after every commit that succeeded. */
  readonly onCommit: (eventCount: number, durationMs: number) => void;
  readonly monotonicMs: () => number;
}

interface Waiting {
  readonly rows: readonly EventRow[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: what is appended while one transaction runs goes into the next one, so a slow disk makes larger transactions
 * and not a longer queue. Rows of one call stay together.
 */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #waiting: Waiting[] = [];
  #eventCount = 0;
  #running: Promise<void> | undefined;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** Events not yet durable. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Resolves once `rows` are durable. @throws AuditError, at once when too many are waiting */
  add(rows: readonly EventRow[]): Promise<void> {
    if (rows.length === 0) return Promise.resolve();
    if (this.#eventCount + rows.length > auditLimits.queueEventsMax) {
      return Promise.reject(new AuditError('ERR_AUDIT_QUEUE_FULL'));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ rows, resolve, reject });
    this.#eventCount += rows.length;
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nothing is left to write. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Everything that comes in this turn of the event loop belongs to the first transaction.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) await this.#commit(this.#takeBatch());
    // In the same turn as the check above: whoever adds from now on starts a new run.
    this.#running = undefined;
  }

  #takeBatch(): readonly Waiting[] {
    let events = 0;
    let calls = 0;
    for (const { rows } of this.#waiting) {
      if (calls > 0 && events + rows.length > auditLimits.batchEventsMax) break;
      events += rows.length;
      calls += 1;
    }
    const batch = this.#waiting.slice(0, calls);
    this.#waiting = this.#waiting.slice(calls);
    return batch;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const rows = batch.flatMap((waiting) => waiting.rows);
    const startedAtMs = this.#options.monotonicMs();
    try {
      await this.#options.commit(rows);
      this.#options.onCommit(rows.length, this.#options.monotonicMs() - startedAtMs);
      for (const waiting of batch) waiting.resolve();
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    } finally {
      this.#eventCount -= rows.length;
    }
  }
}
