import { type Clock, systemClock, type Timer } from './clock.ts';
import { DelayHeap } from './delay-heap.ts';
import type { WorkQueueObserver } from './observers.ts';
import { RetryLimiter, type RetryLimits, retryLimits } from './rate-limit.ts';

export interface WorkQueueOptions {
  readonly clock?: Clock;
  readonly limits?: RetryLimits;
  readonly observer?: WorkQueueObserver;
}

/**
 * Keys that wait for work, each of them once. A key that is added while it is worked on runs again afterwards, never at the same time.
 * Its length is bounded by the number of distinct keys, that is of objects.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #observer: WorkQueueObserver | undefined;
  readonly #limiter: RetryLimiter;
  /** Keys to be worked on, with the time they were added; in order of arrival unless they are being processed. */
  readonly #dirty = new Map<string, number>();
  readonly #processing = new Map<string, number>();
  readonly #ready = new Set<string>();
  readonly #delayed = new DelayHeap();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #idleWaiters: (() => void)[] = [];
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined;
  #state: 'open' | 'draining' | 'closed' = 'open';

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#observer = options.observer;
    this.#limiter = new RetryLimiter(options.limits ?? retryLimits, this.#clock.nowMs());
    this.#observer?.watchUnfinished(() => this.#unfinished());
  }

  /** Keys that wait now, delayed ones left out. */
  get length(): number {
    return this.#ready.size;
  }

  add(key: string): void {
    if (this.#state !== 'open' || this.#dirty.has(key)) return;
    this.#dirty.set(key, this.#clock.nowMs());
    if (this.#processing.has(key)) return;
    this.#enqueue(key);
  }

  /** Adds after a delay; a key that is delayed already keeps the earlier time. */
  addAfter(key: string, delayMs: number): void {
    if (this.#state !== 'open') return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    this.#delayed.push(key, this.#clock.nowMs() + delayMs);
    this.#schedule();
  }

  /** Adds after what the failures of this key, and the load of all, ask for. */
  addRateLimited(key: string): void {
    if (this.#state !== 'open') return;
    this.#observer?.retried();
    this.addAfter(key, this.#limiter.nextDelayMs(key, this.#clock.nowMs()));
  }

  /** The key succeeded: its next failure is the first again. */
  forget(key: string): void {
    this.#limiter.forget(key);
  }

  failures(key: string): number {
    return this.#limiter.failures(key);
  }

  /** The next key, as soon as there is one; `undefined` once the queue is shut down. Call `done` when it is worked off. */
  take(): Promise<string | undefined> {
    const next = this.#ready.values().next();
    if (next.done !== true) return Promise.resolve(this.#hand(next.value));
    if (this.#over()) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    const startedAtMs = this.#processing.get(key);
    if (startedAtMs === undefined) return;
    this.#processing.delete(key);
    this.#observer?.finished(this.#clock.nowMs() - startedAtMs);
    if (this.#dirty.has(key) && this.#state !== 'closed') this.#enqueue(key);
    this.#settle();
  }

  /**
   * Takes nothing new. With `drain` what waits already is still handed out, without it is dropped; resolves when no key is being
   * worked on any more.
   */
  async shutdown(options: { readonly drain: boolean }): Promise<void> {
    if (this.#state !== 'closed') this.#state = options.drain ? 'draining' : 'closed';
    this.#timer?.timer.cancel();
    this.#delayed.clear();
    if (this.#state === 'closed') {
      this.#ready.clear();
      this.#dirty.clear();
    }
    const idle = new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    this.#settle();
    await idle;
  }

  #enqueue(key: string): void {
    this.#ready.add(key);
    this.#observer?.added(this.#ready.size);
    const taker = this.#takers.shift();
    if (taker !== undefined) taker(this.#hand(key));
  }

  #hand(key: string): string {
    const nowMs = this.#clock.nowMs();
    const addedAtMs = this.#dirty.get(key) ?? nowMs;
    this.#ready.delete(key);
    this.#dirty.delete(key);
    this.#processing.set(key, nowMs);
    this.#observer?.taken(this.#ready.size, nowMs - addedAtMs);
    return key;
  }

  #schedule(): void {
    const atMs = this.#delayed.nextAtMs();
    if (atMs === undefined || (this.#timer !== undefined && this.#timer.atMs <= atMs)) return;
    this.#timer?.timer.cancel();
    // Rounded up, because a timer that fires a fraction early would find nothing due and spin.
    const delayMs = Math.ceil(Math.max(0, atMs - this.#clock.nowMs()));
    this.#timer = { atMs, timer: this.#clock.setTimer(() => this.#ripen(), delayMs) };
  }

  #ripen(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.nowMs();
    for (let key = this.#delayed.popDue(nowMs); key !== undefined; key = this.#delayed.popDue(nowMs)) this.add(key);
    this.#schedule();
  }

  /** After shutdown: tells takers that nothing comes, and waiters that nothing runs. */
  #settle(): void {
    if (!this.#over()) return;
    for (const taker of this.#takers.splice(0)) taker(undefined);
    if (this.#processing.size > 0) return;
    for (const waiter of this.#idleWaiters.splice(0)) waiter();
  }

  /** Nothing will be handed out any more. While draining, a key that is worked on may still come back. */
  #over(): boolean {
    if (this.#state === 'open') return false;
    return this.#state === 'closed' || (this.#ready.size === 0 && this.#processing.size === 0);
  }

  #unfinished(): { readonly sumMs: number; readonly longestMs: number } {
    const nowMs = this.#clock.nowMs();
    const ages = [...this.#processing.values()].map((startedAtMs) => nowMs - startedAtMs);
    return { sumMs: ages.reduce((sum, age) => sum + age, 0), longestMs: Math.max(0, ...ages) };
  }
}
