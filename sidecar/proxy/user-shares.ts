import type { Subject } from '../contract/lease.ts';
import { ProxyError } from './errors.ts';

/** What each user has of something that all users of a proxy share, so that one of them cannot have all of it. */
export class UserShares {
  readonly #most: number;
  readonly #taken = new Map<string, number>();

  /** `most` of one user. */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws ProxyError when the user has enough */
  take(user: string, amount: number): void {
    const taken = (this.#taken.get(user) ?? 0) + amount;
    if (taken > this.#most)
      throw new ProxyError('Overloaded', 'You have too much under way at once. Try again in a moment.');
    this.#taken.set(user, taken);
  }

  giveBack(user: string, amount: number): void {
    const left = (this.#taken.get(user) ?? 0) - amount;
    if (left > 0) this.#taken.set(user, left);
    else this.#taken.delete(user);
  }
}

/** A subject does not change: the text is made once for each lease, and its hash with it. */
const shares = new WeakMap<Subject, string>();

/** Cheaper than the key that sessions have, and never kept for longer than a request. */
export function shareOf(subject: Subject | undefined): string {
  if (subject === undefined) return '';
  const known = shares.get(subject);
  if (known !== undefined) return known;
  const share = `${subject.issuer} ${subject.id}`;
  shares.set(subject, share);
  return share;
}
