/** Requests that one requester may make within `windowMs`. */
export const requestsPerWindowMax = 60;
export const windowMs = 60_000;
/** Requesters remembered; the one that has been quiet longest is forgotten first. */
export const requestersMax = 1_000;

/** Keys that one requester may have tried within `windowMs`: nobody may use up what an upstream takes from all. */
export const triesPerWindowMax = 12;

/** Counts each request once, however often its handling is tried. */
export class RequestLimiter {
  readonly #countMax: number;
  /** Requester to request UID to arrival; both in order of arrival. */
  readonly #requesters = new Map<string, Map<string, number>>();

  constructor(countMax: number = requestsPerWindowMax) {
    this.#countMax = countMax;
  }

  admits(requester: string, requestUid: string, nowMs: number): boolean {
    const seen = this.#requesters.get(requester) ?? new Map<string, number>();
    for (const [uid, atMs] of seen) {
      if (nowMs - atMs < windowMs) break;
      seen.delete(uid);
    }
    if (seen.has(requestUid)) return true;
    if (seen.size >= this.#countMax) return false;
    seen.set(requestUid, nowMs);
    this.#requesters.delete(requester);
    this.#requesters.set(requester, seen);
    const [quietest] = this.#requesters.keys();
    if (this.#requesters.size > requestersMax && quietest !== undefined) this.#requesters.delete(quietest);
    return true;
  }
}
