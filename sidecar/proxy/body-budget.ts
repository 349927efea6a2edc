import { ProxyError } from './errors.ts';
import { UserShares } from './user-shares.ts';

/** Bytes of the bodies of all requests that wait for their upstream to answer: what the proxy's memory can hold. */
export class BodyBudget {
  readonly #bytesMax: number;
  readonly #shares: UserShares;
  #bytes = 0;

  /** `userBytesMax`: of one user. */
  constructor(bytesMax: number, userBytesMax = bytesMax) {
    this.#bytesMax = bytesMax;
    this.#shares = new UserShares(userBytesMax);
  }

  /** `user` as `shareOf` names one. */
  hold(user: string): BodyHold {
    let held = 0;
    return {
      take: (bytes) => {
        if (this.#bytes + bytes > this.#bytesMax) {
          throw new ProxyError('Overloaded', 'Too many large requests at once. Try again in a moment.');
        }
        this.#shares.take(user, bytes);
        this.#bytes += bytes;
        held += bytes;
      },
      [Symbol.dispose]: () => {
        this.#shares.giveBack(user, held);
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
