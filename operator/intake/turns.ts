/** Lets orders about one key run one after the other, so that none of them meets what another has written by half. */
export class Turns {
  /** The end of the last turn for each key; as many at a time as there are workers. */
  readonly #lastOf = new Map<string, Promise<void>>();

  /** Resolves when everybody who came before has disposed their turn. */
  async take(key: string): Promise<Disposable> {
    const before = this.#lastOf.get(key);
    const { promise: end, resolve } = Promise.withResolvers<void>();
    this.#lastOf.set(key, end);
    await before;
    return {
      [Symbol.dispose]: () => {
        if (this.#lastOf.get(key) === end) this.#lastOf.delete(key);
        resolve();
      },
    };
  }
}
