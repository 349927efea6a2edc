import { type Clock, systemClock } from './clock.ts';
import {
  type ControllerObserver,
  type Log,
  type ReconcileResult,
  silentLog,
  type WorkQueueObserver,
} from './observers.ts';
import { formatKey, parseKey, type RequestKey } from './request-key.ts';
import type { RetryLimits } from './rate-limit.ts';
import { WorkQueue } from './work-queue.ts';

/** Reconciling this key again changes nothing until the object changes: it is counted and logged, not retried. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

export interface ReconcileOutcome {
  /** A planned return. Expected waiting is not an error. */
  readonly requeueAfterMs?: number;
}

/** One observe-decide-apply for one object. Everything it starts is awaited; it stops soon after `signal` aborts. */
export type Reconcile = (key: RequestKey, signal: AbortSignal) => Promise<ReconcileOutcome>;

export interface ControllerOptions {
  /** For logs and metrics. */
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly workers?: number;
  readonly reconcileTimeoutMs?: number;
  readonly limits?: RetryLimits;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly observer?: ControllerObserver;
  readonly queueObserver?: WorkQueueObserver;
}

export const workersDefault = 2;
export const reconcileTimeoutMsDefault = 60_000;
/** A planned return is at least this far away: a reconcile that always asks for "now" must not spin. */
export const requeueAfterMsMin = 10;

export interface Controller {
  enqueue(key: RequestKey): void;
  enqueueAfter(key: RequestKey, delayMs: number): void;
  /** Aborts what runs, drops what waits; resolves when no reconcile runs any more. */
  stop(): Promise<void>;
}

/** Starts the workers. */
export function startController(options: ControllerOptions): Controller {
  return new Runner(options);
}

class Runner implements Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  readonly #workers: Promise<void>;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#queue = new WorkQueue({
      clock: this.#clock,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(options.queueObserver === undefined ? {} : { observer: options.queueObserver }),
    });
    const workers = options.workers ?? workersDefault;
    options.observer?.workers(workers);
    this.#workers = Promise.all(Array.from({ length: workers }, () => this.#work())).then(ignore);
  }

  enqueue(key: RequestKey): void {
    this.#queue.add(formatKey(key));
  }

  enqueueAfter(key: RequestKey, delayMs: number): void {
    this.#queue.addAfter(formatKey(key), delayMs);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#queue.shutdown({ drain: false });
    await this.#workers;
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      try {
        await this.#reconcile(key);
      } finally {
        this.#queue.done(key);
      }
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { observer } = this.#options;
    const startedAtMs = this.#clock.nowMs();
    observer?.started();
    const result = await this.#attempt(key);
    observer?.ended({ result, seconds: (this.#clock.nowMs() - startedAtMs) / 1000 });
  }

  async #attempt(key: string): Promise<ReconcileResult> {
    const timeoutMs = this.#options.reconcileTimeoutMs ?? reconcileTimeoutMsDefault;
    const budget = new AbortController();
    const timer = this.#clock.setTimer(() => {
      this.#options.observer?.timedOut();
      budget.abort(new DOMException('reconcile took too long', 'TimeoutError'));
    }, timeoutMs);
    const stop = (): void => budget.abort(this.#stopping.signal.reason);
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    if (this.#stopping.signal.aborted) stop();
    try {
      return this.#succeeded(key, await this.#options.reconcile(parseKey(key), budget.signal));
    } catch (error) {
      return this.#failed(key, error);
    } finally {
      timer.cancel();
      this.#stopping.signal.removeEventListener('abort', stop);
    }
  }

  #succeeded(key: string, outcome: ReconcileOutcome): ReconcileResult {
    this.#queue.forget(key);
    if (outcome.requeueAfterMs === undefined) return 'success';
    this.#queue.addAfter(key, Math.max(requeueAfterMsMin, outcome.requeueAfterMs));
    return 'requeue_after';
  }

  #failed(key: string, error: unknown): ReconcileResult {
    const fields = { controller: this.#options.name, key, ...(error instanceof Error ? { error } : {}) };
    if (this.#stopping.signal.aborted) {
      this.#log.debug('reconcile ended by shutdown', fields);
    } else if (error instanceof TerminalError) {
      this.#queue.forget(key);
      this.#options.observer?.terminalFailure();
      this.#log.error('reconcile failed for good', fields);
    } else {
      this.#queue.addRateLimited(key);
      this.#log.warn('reconcile failed, trying again', { ...fields, failures: this.#queue.failures(key) });
    }
    return 'error';
  }
}

function ignore(): void {
  // All workers have ended.
}
