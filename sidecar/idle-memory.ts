export interface IdleMemoryOptions {
  /** Processor time of this process so far. */
  readonly cpuSeconds: () => number;
  /** Gives back what nobody uses any more; holds up everything else meanwhile. */
  readonly collect: () => void;
}

/** How often to look whether the process has become idle. */
export const idleCheckMs = 2_000;

/** Processor time between two looks that still counts as idle: a fortieth of one processor. */
const idleCpuSecondsMax = 0.05;

/**
 * Collects garbage once when work has come to an end. The collector runs by itself only while memory is taken, so that a proxy that was
 * busy once would keep what it had then for as long as nobody asks it for anything.
 */
export class IdleMemory {
  readonly #options: IdleMemoryOptions;
  #cpuSeconds: number;
  #wasBusy = false;

  constructor(options: IdleMemoryOptions) {
    this.#options = options;
    this.#cpuSeconds = options.cpuSeconds();
  }

  /** To be called each `idleCheckMs`. */
  tick(): void {
    const isBusy = this.#options.cpuSeconds() - this.#cpuSeconds > idleCpuSecondsMax;
    if (this.#wasBusy && !isBusy) this.#options.collect();
    this.#wasBusy = isBusy;
    // What collecting took is no work.
    this.#cpuSeconds = this.#options.cpuSeconds();
  }
}
