export interface BackoffLimits {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** After this long without a failure the next one counts as the first. */
  readonly resetAfterMs: number;
}

/** As client-go's reflector: 800 ms to 30 s, factor 2, forgotten after two healthy minutes. */
export const reflectorBackoff: BackoffLimits = { delayMsMin: 800, delayMsMax: 30_000, resetAfterMs: 120_000 };

/** Exponential back-off with full jitter: replicas that failed together do not come back together. */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #failures = 0;
  #lastFailureAtMs = Number.NEGATIVE_INFINITY;

  constructor(limits: BackoffLimits, random: () => number = Math.random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** How long to wait after a failure at `nowMs`. */
  nextDelayMs(nowMs: number): number {
    if (nowMs - this.#lastFailureAtMs >= this.#limits.resetAfterMs) this.#failures = 0;
    const ceilingMs = Math.min(this.#limits.delayMsMax, this.#limits.delayMsMin * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    this.#lastFailureAtMs = nowMs;
    return this.#random() * ceilingMs;
  }
}
