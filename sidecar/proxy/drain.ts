import type { DrainSignal } from './layers/end-at-drain.ts';

/** The way out: first only unready (clients are led elsewhere), then nothing new, then the end. */
export class Drain implements DrainSignal {
  #phase: 'serving' | 'draining' | 'stopped' = 'serving';
  readonly #ends = new Set<() => void>();

  /** From now on every response asks its client to open a new connection, which leads elsewhere. */
  get begun(): boolean {
    return this.#phase !== 'serving';
  }

  begin(): void {
    if (this.#phase === 'serving') this.#phase = 'draining';
  }

  /** Ends the streams that would never end by themselves. */
  stop(): void {
    this.#phase = 'stopped';
    for (const end of this.#ends) end();
    this.#ends.clear();
  }

  onStop(end: () => void): () => void {
    if (this.#phase === 'stopped') end();
    else this.#ends.add(end);
    return () => this.#ends.delete(end);
  }
}
