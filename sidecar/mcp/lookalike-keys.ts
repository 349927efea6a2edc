/**
 * Keys that some JSON libraries take for others. Go's `encoding/json` compares names without case, by Unicode simple folding, and
 * the last one wins: `{"method":"ping","METHOD":"tools/call"}` would be judged as one method and served as another. A key that
 * only looks like one that is judged is therefore refused like one that occurs twice.
 */
export class LookalikeKeys {
  readonly #exact: ReadonlyMap<string, string>;

  constructor(judged: readonly string[]) {
    this.#exact = new Map(judged.map((key) => [fold(key), key]));
  }

  /** Whether any key of `object` is a judged one in another spelling. */
  isIn(object: Readonly<Record<string, unknown>>): boolean {
    return Object.keys(object).some((key) => {
      const exact = this.#exact.get(fold(key));
      return exact !== undefined && exact !== key;
    });
  }
}

/** Beyond ASCII, two characters fold to a letter: the Kelvin sign to `k`, the long s to `s`. */
function fold(key: string): string {
  return key.toLowerCase().replaceAll('\u{17f}', 's');
}
