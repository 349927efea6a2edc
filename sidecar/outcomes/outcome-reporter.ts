import { type KeyOutcome, outcomesMax } from '../contract/outcome.ts';
import { type Backoff, backoffMs, pause } from '../leases/backoff.ts';

export interface OutcomeReporterOptions {
  /** Rejects when the broker did not take them. */
  readonly send: (outcomes: readonly KeyOutcome[]) => Promise<void>;
  readonly failed: (error: unknown) => void;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly limits?: OutcomeLimits;
}

export interface OutcomeLimits {
  /** How long after a rejection the keys of other users are told of, so that the broker can see whether it is the upstream. */
  readonly watchMs: number;
  readonly lingerMs: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
}

export const outcomeLimits: OutcomeLimits = {
  watchMs: 60_000,
  lingerMs: 200,
  attemptsMax: 8,
  backoff: { firstMs: 200, mostMs: 5_000 },
};

/** The user and the version of a key that was put into a request, and what proves that it came with a lease. */
export type SentKey = Pick<KeyOutcome, 'subjectKey' | 'keyVersion' | 'keySource' | 'receipt'>;

/**
 * Tells the broker what the upstream makes of keys. In memory, bounded, and lost when the broker does not come back: a key that is
 * still refused is told of again with its next request.
 */
export class OutcomeReporter {
  readonly #options: OutcomeReporterOptions;
  readonly #limits: OutcomeLimits;
  readonly #stopped = new AbortController();
  /** The latest of each user and version, in order of arrival. */
  readonly #waiting = new Map<string, KeyOutcome>();
  #watchesUntilMs = Number.NEGATIVE_INFINITY;
  #isSending = false;

  constructor(options: OutcomeReporterOptions) {
    this.#options = options;
    this.#limits = options.limits ?? outcomeLimits;
  }

  /** Whether `accepted` is worth calling. */
  get isWatching(): boolean {
    return this.#options.nowMs() < this.#watchesUntilMs;
  }

  rejected(key: SentKey): void {
    this.#watchesUntilMs = this.#options.nowMs() + this.#limits.watchMs;
    this.#put(outcomeOf(key, 'rejected'));
  }

  accepted(key: SentKey): void {
    if (this.isWatching) this.#put(outcomeOf(key, 'accepted'));
  }

  stop(): void {
    this.#stopped.abort();
  }

  #put(outcome: KeyOutcome): void {
    const key = `${outcome.subjectKey} ${outcome.keyVersion} ${outcome.keySource}`;
    this.#waiting.delete(key);
    this.#waiting.set(key, outcome);
    if (this.#waiting.size > outcomesMax) {
      for (const oldest of this.#waiting.keys()) {
        this.#waiting.delete(oldest);
        break;
      }
    }
    if (!this.#isSending) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isSending = true;
    await pause(this.#limits.lingerMs, this.#stopped.signal);
    while (this.#waiting.size > 0 && !this.#stopped.signal.aborted) {
      const batch = [...this.#waiting.values()];
      this.#waiting.clear();
      await this.#send(batch);
      await pause(this.#limits.lingerMs, this.#stopped.signal);
    }
    this.#isSending = false;
  }

  async #send(batch: readonly KeyOutcome[]): Promise<void> {
    const { attemptsMax, backoff } = this.#limits;
    for (let attempt = 0; attempt < attemptsMax && !this.#stopped.signal.aborted; attempt += 1) {
      try {
        await this.#options.send(batch);
        return;
      } catch (error) {
        this.#options.failed(error);
        await pause(backoffMs(backoff, attempt), this.#stopped.signal);
      }
    }
  }
}

function outcomeOf(sent: SentKey, outcome: KeyOutcome['outcome']): KeyOutcome {
  const { subjectKey, keyVersion, keySource, receipt } = sent;
  const source = keySource === undefined ? {} : { keySource };
  return { subjectKey, keyVersion, ...source, outcome, ...(receipt === undefined ? {} : { receipt }) };
}
