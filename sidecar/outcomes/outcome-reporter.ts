import { type KeyEnd, type KeyOutcome, outcomesMax } from '../contract/outcome.ts';
import { type Backoff, backoffMs, pause } from '../leases/backoff.ts';

export interface OutcomeReporterOptions {
  /** Rejects when the broker did not take them. */
  readonly send: (outcomes: readonly KeyOutcome[], ends: readonly KeyEnd[]) => Promise<void>;
  readonly failed: (error: unknown) => void;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly limits?: OutcomeLimits;
}

export interface OutcomeLimits {
  /** How long after a rejection the keys of other users are told of, so that the broker can see whether it is the upstream. */
  readonly watchMs: number;
  /** How often the broker is told of the end of a key that stays the same. */
  readonly endAgainMs: number;
  readonly lingerMs: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
}

export const outcomeLimits: OutcomeLimits = {
  watchMs: 60_000,
  endAgainMs: 600_000,
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
  readonly #endsWaiting = new Map<string, KeyEnd>();
  /** What was told last of the end of each user's version, and when; in that order. */
  readonly #endsTold = new Map<string, { readonly endsAt: string; readonly atMs: number }>();
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

  /** The upstream has said when this key ends, as it does with every answer. */
  ends({ subjectKey, keyVersion, receipt }: SentKey, endsAt: string): void {
    const key = `${subjectKey} ${keyVersion}`;
    const told = this.#endsTold.get(key);
    const atMs = this.#options.nowMs();
    if (told?.endsAt === endsAt && atMs - told.atMs < this.#limits.endAgainMs) return;
    putLatest(this.#endsTold, key, { endsAt, atMs });
    const end = { subjectKey, keyVersion, endsAt, ...(receipt === undefined ? {} : { receipt }) };
    putLatest(this.#endsWaiting, key, end);
    if (!this.#isSending) void this.#run();
  }

  stop(): void {
    this.#stopped.abort();
  }

  #put(outcome: KeyOutcome): void {
    putLatest(this.#waiting, `${outcome.subjectKey} ${outcome.keyVersion} ${outcome.keySource}`, outcome);
    if (!this.#isSending) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isSending = true;
    await pause(this.#limits.lingerMs, this.#stopped.signal);
    while (this.#waiting.size + this.#endsWaiting.size > 0 && !this.#stopped.signal.aborted) {
      const batch = [...this.#waiting.values()];
      const ends = [...this.#endsWaiting.values()];
      this.#waiting.clear();
      this.#endsWaiting.clear();
      await this.#send(batch, ends);
      await pause(this.#limits.lingerMs, this.#stopped.signal);
    }
    this.#isSending = false;
  }

  async #send(batch: readonly KeyOutcome[], ends: readonly KeyEnd[]): Promise<void> {
    const { attemptsMax, backoff } = this.#limits;
    for (let attempt = 0; attempt < attemptsMax && !this.#stopped.signal.aborted; attempt += 1) {
      try {
        await this.#options.send(batch, ends);
        return;
      } catch (error) {
        this.#options.failed(error);
        await pause(backoffMs(backoff, attempt), this.#stopped.signal);
      }
    }
  }
}

/** Bounded: the oldest gives way. */
function putLatest<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > outcomesMax && oldest !== undefined) map.delete(oldest);
}

function outcomeOf(sent: SentKey, outcome: KeyOutcome['outcome']): KeyOutcome {
  const { subjectKey, keyVersion, keySource, receipt } = sent;
  const source = keySource === undefined ? {} : { keySource };
  return { subjectKey, keyVersion, ...source, outcome, ...(receipt === undefined ? {} : { receipt }) };
}
