export interface PaceLimits {
  /** Least that arrives of an unfinished body in each window: a client that only keeps a body open is ended. */
  readonly windowBytesMin: number;
  readonly windowMs: number;
  /** Longest wait for a whole body. */
  readonly bodyMsMax: number;
}

/** Watches how a body arrives, and calls `end` once when it is too slow. */
export class Pace {
  readonly #window: ReturnType<typeof setInterval>;
  readonly #whole: ReturnType<typeof setTimeout>;
  readonly #end: () => void;
  #windowBytes = 0;
  #late = false;

  constructor({ windowBytesMin, windowMs, bodyMsMax }: PaceLimits, end: () => void) {
    this.#end = end;
    this.#whole = setTimeout(() => this.#beLate(), bodyMsMax);
    this.#window = setInterval(() => {
      if (this.#windowBytes < windowBytesMin) this.#beLate();
      this.#windowBytes = 0;
    }, windowMs);
  }

  get late(): boolean {
    return this.#late;
  }

  arrived(bytes: number): void {
    this.#windowBytes += bytes;
  }

  stop(): void {
    clearInterval(this.#window);
    clearTimeout(this.#whole);
  }

  #beLate(): void {
    this.stop();
    this.#late = true;
    this.#end();
  }
}
