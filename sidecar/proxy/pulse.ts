/** What wants to know that time passes. */
export interface Beating {
  beat(): void;
}

export interface PulseLimits {
  readonly beatMs: number;
  /** Beats without a byte after which a stream gets a comment. */
  readonly silentBeats: number;
}

/** Shorter than the idle limits of the proxies on the way, of which 60 s is common. */
export const pulseLimits: PulseLimits = { beatMs: 1_000, silentBeats: 15 };

/** One timer for all open streams, as a timer for each event of each would cost more than the event. Runs only while there are any. */
export class Pulse {
  readonly silentBeats: number;
  readonly #beatMs: number;
  readonly #all = new Set<Beating>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor({ beatMs, silentBeats }: PulseLimits = pulseLimits) {
    this.#beatMs = beatMs;
    this.silentBeats = silentBeats;
  }

  get size(): number {
    return this.#all.size;
  }

  add(one: Beating): void {
    this.#all.add(one);
    this.#timer ??= setInterval(() => this.#beat(), this.#beatMs);
  }

  delete(one: Beating): void {
    this.#all.delete(one);
    if (this.#all.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    for (const one of this.#all) one.beat();
  }
}
