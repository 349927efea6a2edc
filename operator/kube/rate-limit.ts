export interface RetryLimits {
  readonly itemDelayMsMin: number;
  readonly itemDelayMsMax: number;
  /** All keys together. */
  readonly perSecond: number;
  readonly burst: number;
}

/** As client-go's default controller limiter, but an item comes back after five minutes at most, not 1000 s. */
export const retryLimits: RetryLimits = { itemDelayMsMin: 5, itemDelayMsMax: 300_000, perSecond: 10, burst: 100 };

/** Tokens that come back with time. A reservation may go below zero: then it says how long to wait. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs: number;

  constructor(options: { readonly perSecond: number; readonly burst: number; readonly nowMs: number }) {
    this.#perMs = options.perSecond / 1000;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#filledAtMs = options.nowMs;
  }

  /** Takes a token, now or in the future, and tells how far away it is. */
  reserve(nowMs: number): number {
    this.#fill(nowMs);
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMs;
  }

  /** Takes a token only if one is there. */
  tryTake(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #fill(nowMs: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
  }
}

/** How long each failing key waits: the longer of its own exponential delay and of what all keys together may do. */
export class RetryLimiter {
  readonly #limits: RetryLimits;
  readonly #bucket: TokenBucket;
  readonly #failures = new Map<string, number>();

  constructor(limits: RetryLimits, nowMs: number) {
    this.#limits = limits;
    this.#bucket = new TokenBucket({ perSecond: limits.perSecond, burst: limits.burst, nowMs });
  }

  nextDelayMs(key: string, nowMs: number): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const itemDelayMs = Math.min(
      this.#limits.itemDelayMsMax,
      this.#limits.itemDelayMsMin * 2 ** Math.min(failures, 40),
    );
    return Math.max(itemDelayMs, this.#bucket.reserve(nowMs));
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }
}
