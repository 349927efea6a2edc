import { ProxyError } from './errors.ts';

/** Bytes of the bodies of all requests that wait for their upstream to answer: what the proxy's memory can hold. */
export class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  hold(): BodyHold {
    let held = 0;
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > this.#bytesMax) {
          throw new ProxyError('Overloaded', 'Too many large requests at once. Try again in a moment.');
        }
        this.#bytes += bytes;
        held += bytes;
      },
      [Symbol.dispose]: () => {
        this.#bytes -= held;
        held = 0;
      },
    };
  }
}

export interface BodyHold extends Disposable {
  /** @throws ProxyError when all bodies together would be too large */
  take(bytes: number): void;
}
