import type { LadderLimits } from './limits.ts';

/** Places for retries that wait for their user, of all servers of one proxy; nobody can take them all. */
export class HoldingPlaces {
  readonly limits: LadderLimits;
  readonly #perUser = new Map<string, number>();
  #held = 0;
  #bytes = 0;

  constructor(limits: LadderLimits) {
    this.limits = limits;
  }

  get held(): number {
    return this.#held;
  }

  /** `undefined` when there is none. */
  take(user: string, bytes: number): Disposable | undefined {
    const { heldMax, heldPerUserMax, heldBytesMax } = this.limits;
    const own = this.#perUser.get(user) ?? 0;
    if (this.#held >= heldMax || own >= heldPerUserMax || this.#bytes + bytes > heldBytesMax) return undefined;
    this.#held += 1;
    this.#bytes += bytes;
    this.#perUser.set(user, own + 1);
    return { [Symbol.dispose]: () => this.#giveBack(user, bytes) };
  }

  #giveBack(user: string, bytes: number): void {
    this.#held -= 1;
    this.#bytes -= bytes;
    const left = (this.#perUser.get(user) ?? 1) - 1;
    if (left > 0) this.#perUser.set(user, left);
    else this.#perUser.delete(user);
  }
}
