export interface TokenBucketOptions {
  readonly tokensMax: number;
  /** How long one token takes to come back. */
  readonly refillMs: number;
  /** Least time between two that are taken. */
  readonly spacingMs: number;
  readonly monotonicMs: () => number;
}

/** Lets a few through at once and then one in each `refillMs`. Full at the start. */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #left: number;
  #countedAtMs: number;
  #takenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: TokenBucketOptions) {
    this.#options = options;
    this.#left = options.tokensMax;
    this.#countedAtMs = options.monotonicMs();
  }

  take(): boolean {
    const { tokensMax, refillMs, spacingMs, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    this.#left = Math.min(tokensMax, this.#left + (nowMs - this.#countedAtMs) / refillMs);
    this.#countedAtMs = nowMs;
    if (this.#left < 1 || nowMs - this.#takenAtMs < spacingMs) return false;
    this.#left -= 1;
    this.#takenAtMs = nowMs;
    return true;
  }
}
