import type { Clock, Timer } from './clock.ts';

export interface GateLimits {
  /** Tasks that run at once without anybody having to wait for long. */
  readonly tasksMin: number;
  readonly tasksMax: number;
  /** Whoever has waited this long may run beside the others, up to `tasksMax`. */
  readonly patienceMs: number;
}

interface Waiter {
  readonly enter: () => void;
  readonly timer: Timer;
}

/**
 * Lets a bounded number of tasks run at once; the others wait in their order. Widening only for who has waited keeps a short burst, as
 * at start-up, from opening a socket for each of its calls.
 */
export class Gate {
  readonly #limits: GateLimits;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();
  #width: number;
  #running = 0;

  constructor(limits: GateLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#width = limits.tasksMin;
  }

  /** Rejects with the signal's reason when that aborts before the task began. */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running >= this.#width) await this.#wait(signal);
    else this.#running += 1;
    try {
      return await task();
    } finally {
      this.#leave();
    }
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = this.#clock.setTimer(() => this.#widenFor(waiter), this.#limits.patienceMs);
    const waiter = { enter: resolve, timer };
    const giveUp = (): void => {
      timer.cancel();
      if (this.#waiting.delete(waiter)) reject(signal?.reason);
    };
    this.#waiting.add(waiter);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  #widenFor(waiter: Waiter): void {
    if (this.#width >= this.#limits.tasksMax) return;
    this.#width += 1;
    this.#running += 1;
    this.#admit(waiter);
  }

  /** The place is handed on, never free in between: a newcomer must not overtake who waits. */
  #leave(): void {
    const next = this.#waiting.values().next();
    if (next.done !== true) {
      this.#admit(next.value);
      return;
    }
    this.#running -= 1;
    if (this.#running === 0) this.#width = this.#limits.tasksMin;
  }

  #admit(waiter: Waiter): void {
    waiter.timer.cancel();
    this.#waiting.delete(waiter);
    waiter.enter();
  }
}
