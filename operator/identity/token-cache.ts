import { createHash } from 'node:crypto';

export interface TokenCacheOptions {
  readonly entriesMax: number;
  readonly ttlMs: number;
  /** Monotonic, so that a clock step neither prolongs nor shortens an entry's life. */
  readonly monotonicMs: () => number;
}

interface Entry<V> {
  readonly value: V;
  readonly expiresAtMs: number;
}

/** Bounded least-recently-used map whose entries end after `ttlMs`. Keys come from `tokenKey`: no token is kept. */
export class TokenCache<V> {
  readonly #options: TokenCacheOptions;
  /** Map order is use order: the first entry is the one unused for longest. */
  readonly #entries = new Map<string, Entry<V>>();
  readonly #loading = new Map<string, Promise<V>>();

  constructor(options: TokenCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.expiresAtMs <= this.#options.monotonicMs()) return undefined;
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, expiresAtMs: this.#options.monotonicMs() + this.#options.ttlMs });
    if (this.#entries.size <= this.#options.entriesMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  /** What is cached, or what `load` resolves; callers that come while it loads share it. A rejection is not kept. */
  async getOrLoad(key: string, load: () => Promise<V>): Promise<V> {
    const cached = this.get(key);
    if (cached !== undefined) return cached;
    const loading = this.#loading.get(key) ?? this.#load(key, load);
    return loading;
  }

  #load(key: string, load: () => Promise<V>): Promise<V> {
    const loading = load()
      .then((value) => {
        this.set(key, value);
        return value;
      })
      .finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading;
  }
}

/** SHA-256 of a token and what it was checked for. Unambiguous: the context is length-prefixed by JSON. */
export function tokenKey(token: string, context: readonly string[] = []): string {
  return createHash('sha256').update(JSON.stringify(context)).update('\n').update(token).digest('base64url');
}
