/** What is under way for each peer, and for all of them together. */
export class PeerCounts {
  readonly #of = new Map<string, number>();
  #all = 0;

  get all(): number {
    return this.#all;
  }

  of(peer: string): number {
    return this.#of.get(peer) ?? 0;
  }

  /** `amount` is negative for what has ended. A peer that has nothing is not kept. */
  add(peer: string, amount: number): void {
    this.#all += amount;
    const now = this.of(peer) + amount;
    if (now === 0) this.#of.delete(peer);
    else this.#of.set(peer, now);
  }
}
