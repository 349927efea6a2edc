interface Entry {
  readonly key: string;
  readonly atMs: number;
}

/** Keys by the time they are due, soonest first; each key once, at its earliest time. */
export class DelayHeap {
  readonly #entries: Entry[] = [];
  /** The time that counts for a key. Heap entries with another time are left-overs and skipped. */
  readonly #dueAtMs = new Map<string, number>();

  get size(): number {
    return this.#dueAtMs.size;
  }

  push(key: string, atMs: number): void {
    const known = this.#dueAtMs.get(key);
    if (known !== undefined && known <= atMs) return;
    this.#dueAtMs.set(key, atMs);
    this.#entries.push({ key, atMs });
    this.#rise(this.#entries.length - 1);
  }

  /** When the soonest key is due. */
  nextAtMs(): number | undefined {
    this.#dropLeftOvers();
    return this.#entries[0]?.atMs;
  }

  /** The soonest key, if it is due. */
  popDue(nowMs: number): string | undefined {
    this.#dropLeftOvers();
    const first = this.#entries[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    this.#removeFirst();
    this.#dueAtMs.delete(first.key);
    return first.key;
  }

  clear(): void {
    this.#entries.length = 0;
    this.#dueAtMs.clear();
  }

  #dropLeftOvers(): void {
    for (let first = this.#entries[0]; first !== undefined; first = this.#entries[0]) {
      if (this.#dueAtMs.get(first.key) === first.atMs) return;
      this.#removeFirst();
    }
  }

  #removeFirst(): void {
    const last = this.#entries.pop();
    if (last === undefined || this.#entries.length === 0) return;
    this.#entries[0] = last;
    this.#sink();
  }

  #rise(from: number): void {
    for (let index = from; index > 0;) {
      const parent = (index - 1) >> 1;
      if (this.#at(parent).atMs <= this.#at(index).atMs) return;
      this.#swap(parent, index);
      index = parent;
    }
  }

  #sink(): void {
    for (let index = 0; ;) {
      const child = this.#smallerChild(index);
      if (child === undefined || this.#at(index).atMs <= this.#at(child).atMs) return;
      this.#swap(index, child);
      index = child;
    }
  }

  #smallerChild(index: number): number | undefined {
    const left = 2 * index + 1;
    if (left >= this.#entries.length) return undefined;
    const right = left + 1;
    return right < this.#entries.length && this.#at(right).atMs < this.#at(left).atMs ? right : left;
  }

  #at(index: number): Entry {
    const entry = this.#entries[index];
    if (entry === undefined) throw new RangeError('index outside of the heap');
    return entry;
  }

  #swap(a: number, b: number): void {
    const held = this.#at(a);
    this.#entries[a] = this.#at(b);
    this.#entries[b] = held;
  }
}
