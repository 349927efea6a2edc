import { hash } from 'node:crypto';

export interface SessionBounds {
  /** Most sessions of one user; that user's own longest unused is forgotten for the next. */
  readonly perUserMax: number;
  /** Most sessions of all; then the user who has the most gives one up, so that one who has few never loses one to one with many. */
  readonly allMax: number;
}

/** Whose session an id is. Ids are kept as hashes, as they are credentials to some servers. */
export class SessionOwners {
  readonly #bounds: SessionBounds;
  readonly #owners = new Map<string, string>();
  /** Each user's sessions in order of last use. */
  readonly #sessions = new Map<string, Set<string>>();

  constructor(bounds: SessionBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#owners.size;
  }

  ownerOf(sessionId: string): string | undefined {
    return this.#owners.get(keyOf(sessionId));
  }

  /** From now on the session is this user's, whoever had it before. */
  bind(sessionId: string, user: string): void {
    const key = keyOf(sessionId);
    this.#forget(key);
    this.#makeRoom(user);
    this.#owners.set(key, user);
    const sessions = this.#sessions.get(user);
    if (sessions === undefined) this.#sessions.set(user, new Set([key]));
    else sessions.add(key);
  }

  forget(sessionId: string): void {
    this.#forget(keyOf(sessionId));
  }

  #makeRoom(user: string): void {
    const own = this.#sessions.get(user)?.size ?? 0;
    if (own >= this.#bounds.perUserMax) this.#forgetOldestOf(user);
    else if (this.#owners.size >= this.#bounds.allMax) this.#forgetOldestOf(this.#userWithMost());
  }

  #userWithMost(): string {
    let most = { user: '', sessions: 0 };
    for (const [user, { size }] of this.#sessions) if (size > most.sessions) most = { user, sessions: size };
    return most.user;
  }

  #forgetOldestOf(user: string): void {
    const [oldest] = this.#sessions.get(user) ?? [];
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(key: string): void {
    const owner = this.#owners.get(key);
    if (owner === undefined) return;
    this.#owners.delete(key);
    const sessions = this.#sessions.get(owner);
    sessions?.delete(key);
    if (sessions?.size === 0) this.#sessions.delete(owner);
  }
}

function keyOf(sessionId: string): string {
  return hash('sha256', sessionId, 'base64');
}
