/** Twice as many as there are leases: a user whose lease has just ended is no stranger. */
export const knownCredentialsMax = 20_000;

/** Hashes of credentials that the broker has known lately, so that their users do not stand in one line with strangers. */
export class KnownCredentials {
  /** In order of last use. */
  readonly #keys = new Set<string>();
  readonly #max: number;

  constructor(max = knownCredentialsMax) {
    this.#max = max;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  add(key: string): void {
    this.#keys.delete(key);
    this.#keys.add(key);
    if (this.#keys.size <= this.#max) return;
    const [oldest] = this.#keys;
    if (oldest !== undefined) this.#keys.delete(oldest);
  }

  delete(key: string): void {
    this.#keys.delete(key);
  }
}
