export interface OwnedBounds {
  /** Most entries of one user; that user's own longest unused is forgotten for the next. */
  readonly perUserMax: number;
  /** Most entries of all; then the user who has the most gives one up, so that one who has few never loses one to one with many. */
  readonly allMax: number;
}

export interface Owned {
  readonly owner: string;
}

/** Things of which each belongs to one user. Bounded, and fair: nobody pushes out what belongs to others. */
export class OwnedEntries<Entry extends Owned> {
  readonly #bounds: OwnedBounds;
  readonly #entries = new Map<string, Entry>();
  /** Each user's keys in order of last use. */
  readonly #keys = new Map<string, Set<string>>();

  constructor(bounds: OwnedBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** From now on the key is this entry's, whoever had it before. Also marks an entry as used. */
  set(key: string, entry: Entry): void {
    this.delete(key);
    this.#makeRoom(entry.owner);
    this.#entries.set(key, entry);
    const keys = this.#keys.get(entry.owner);
    if (keys === undefined) this.#keys.set(entry.owner, new Set([key]));
    else keys.add(key);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const keys = this.#keys.get(entry.owner);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(entry.owner);
  }

  #makeRoom(owner: string): void {
    const own = this.#keys.get(owner)?.size ?? 0;
    if (own >= this.#bounds.perUserMax) this.#deleteOldestOf(owner);
    else if (this.#entries.size >= this.#bounds.allMax) this.#deleteOldestOf(this.#userWithMost());
  }

  #userWithMost(): string {
    let most = { user: '', keys: 0 };
    for (const [user, { size }] of this.#keys) if (size > most.keys) most = { user, keys: size };
    return most.user;
  }

  #deleteOldestOf(owner: string): void {
    const [oldest] = this.#keys.get(owner) ?? [];
    if (oldest !== undefined) this.delete(oldest);
  }
}
