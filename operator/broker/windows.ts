export interface WindowOptions {
  readonly windowMs: number;
  /** Most that is allowed for one key in one window. */
  readonly countMax: number;
  /** Most keys that are tracked; the one unused for longest is forgotten. */
  readonly keysMax: number;
  readonly monotonicMs: () => number;
}

/** Counts different values for each key, in windows of fixed length. */
export class DistinctWindow {
  readonly #options: WindowOptions;
  readonly #windows = new Map<string, { readonly endsAtMs: number; readonly values: Set<string> }>();

  constructor(options: WindowOptions) {
    this.#options = options;
  }

  /** Whether `value` is known in this window or still fits in; then it is known from now on. */
  admit(key: string, value: string): boolean {
    const { values } = this.#current(key);
    if (values.has(value)) return true;
    if (values.size >= this.#options.countMax) return false;
    values.add(value);
    return true;
  }

  isFull(key: string): boolean {
    return this.#current(key).values.size >= this.#options.countMax;
  }

  #current(key: string): { readonly values: Set<string> } {
    const nowMs = this.#options.monotonicMs();
    const known = this.#windows.get(key);
    this.#windows.delete(key);
    const current =
      known !== undefined && nowMs < known.endsAtMs
        ? known
        : { endsAtMs: nowMs + this.#options.windowMs, values: new Set<string>() };
    this.#windows.set(key, current);
    if (this.#windows.size > this.#options.keysMax) forgetOldest(this.#windows);
    return current;
  }
}

/** Counts how often each key was taken, in windows of fixed length. */
export class CountWindow {
  readonly #options: WindowOptions;
  readonly #windows = new Map<string, { readonly endsAtMs: number; count: number }>();

  constructor(options: WindowOptions) {
    this.#options = options;
  }

  /** Whether `key` may be taken once more in this window. */
  take(key: string): boolean {
    const nowMs = this.#options.monotonicMs();
    const known = this.#windows.get(key);
    this.#windows.delete(key);
    const current =
      known !== undefined && nowMs < known.endsAtMs ? known : { endsAtMs: nowMs + this.#options.windowMs, count: 0 };
    this.#windows.set(key, current);
    if (this.#windows.size > this.#options.keysMax) forgetOldest(this.#windows);
    current.count += 1;
    return current.count <= this.#options.countMax;
  }
}

/** Map order is use order. */
function forgetOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
