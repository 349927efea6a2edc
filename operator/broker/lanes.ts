import { BrokerError } from './errors.ts';

export interface LanesOptions {
  /** Most that runs of one key at a time. */
  readonly runningMax: number;
  /** Most that waits of one key, in order. */
  readonly waitingMax: number;
}

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/** Lets each key have so much under way and no more, so that one key's crowd does not take everybody's turn. */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** @throws BrokerError ERR_BUSY when too many of this key wait already */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(key) ?? { running: 0, waiting: [] };
    this.#lanes.set(key, lane);
    await this.#enter(lane);
    try {
      return await work();
    } finally {
      this.#leave(key, lane);
    }
  }

  #enter(lane: Lane): Promise<void> | undefined {
    if (lane.running < this.#options.runningMax) {
      lane.running += 1;
      return undefined;
    }
    if (lane.waiting.length >= this.#options.waitingMax) throw new BrokerError('ERR_BUSY');
    return new Promise((resolve) => lane.waiting.push(resolve));
  }

  /** Whoever waits takes the place over, so that nobody who comes now gets in between. */
  #leave(key: string, lane: Lane): void {
    const next = lane.waiting.shift();
    if (next !== undefined) {
      next();
      return;
    }
    lane.running -= 1;
    if (lane.running === 0) this.#lanes.delete(key);
  }
}
