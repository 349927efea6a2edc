import { hash } from 'node:crypto';
import type { LeaseResponse } from '../contract/lease.ts';
import { leaseTtlMsMax } from '../contract/lease.ts';
import { type Asker, CallPlaces } from './call-places.ts';
import { KnownCredentials } from './known-credentials.ts';
import { LeaseError } from './lease-error.ts';

export interface LeaseCacheOptions {
  /** Asks the broker. @throws LeaseError */
  readonly fetchLease: (credential: string) => Promise<LeaseResponse>;
  /** Whether invalidations are sure to arrive. While they are not, nothing in here is used. */
  readonly isWatching: () => boolean;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** May shrink while the cache is in use. */
  readonly entriesMax?: () => number;
}

export const leaseEntriesMax = 10_000;
/** Most refusals of credentials of nobody that are remembered: anybody can make one, and none may cost a user their lease. */
export const strangerEntriesMax = 1_024;
/** Longest that "no key", "denied" and "unauthenticated" are believed: a key that was just set works within two seconds. */
export const refusalTtlMsMax = 1_500;
/** Shortest time between two attempts to renew one lease. */
export const refreshRetryMs = 500;
/** How often an answer that was invalidated on its way is asked for again. */
const refetchesMax = 3;

interface Entry {
  readonly response: LeaseResponse;
  expiresAtMs: number;
  refreshAtMs: number;
}

interface Call {
  readonly answer: Promise<LeaseResponse>;
  /** Set when an invalidation may concern the answer that is on its way. */
  invalidated: Set<string> | 'all';
}

/**
 * Leases by SHA-256 of the credential, in memory only. One call to the broker for each credential at a time; a lease in use is
 * renewed ahead of its end, so that a broker that is away for a moment is not noticed.
 */
export class LeaseCache {
  readonly #options: LeaseCacheOptions;
  /** Of users, in order of last use. */
  readonly #entries = new Map<string, Entry>();
  /** Of nobody, in order of last use. */
  readonly #strangers = new Map<string, Entry>();
  readonly #known = new KnownCredentials();
  readonly #places = new CallPlaces();
  readonly #calls = new Map<string, Call>();
  /** Whoever waits for news of a subject. */
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(options: LeaseCacheOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size + this.#strangers.size;
  }

  /**
   * At once where it is here. `peer` is where the connection comes from.
   * @throws LeaseError when there is none and none can be had
   */
  lease(credential: string, peer = ''): LeaseResponse | Promise<LeaseResponse> {
    if (!this.#options.isWatching()) return Promise.reject(notWatching());
    const key = hash('sha256', credential, 'base64');
    const entry = this.#entries.get(key) ?? this.#strangers.get(key);
    const nowMs = this.#options.nowMs();
    if (entry === undefined || entry.expiresAtMs <= nowMs) return this.#call(key, credential, peer);
    touch(isOfUser(entry.response) ? this.#entries : this.#strangers, key, entry);
    if (entry.refreshAtMs <= nowMs) this.#refresh(key, entry, { credential, peer });
    return entry.response;
  }

  /** Resolves when what is known of the subject may have changed, or when `signal` aborts. */
  changed(subjectKey: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    const listeners = this.#listeners.get(subjectKey) ?? new Set();
    this.#listeners.set(subjectKey, listeners);
    return new Promise((resolve) => {
      const tell = (): void => {
        listeners.delete(tell);
        if (listeners.size === 0 && this.#listeners.get(subjectKey) === listeners) this.#listeners.delete(subjectKey);
        signal.removeEventListener('abort', tell);
        resolve();
      };
      listeners.add(tell);
      signal.addEventListener('abort', tell);
    });
  }

  /** Ends the leases of a subject, or of `all`; "no key" answers end as well, since what they say may have changed. */
  invalidate(subjectKey: string): void {
    if (subjectKey === 'all') return this.dropAll();
    for (const [key, { response }] of this.#entries) {
      if ('subjectKey' in response && response.subjectKey === subjectKey) this.#entries.delete(key);
    }
    for (const call of this.#calls.values()) {
      if (call.invalidated !== 'all') call.invalidated.add(subjectKey);
    }
    this.#tell(subjectKey);
  }

  dropAll(): void {
    this.#entries.clear();
    this.#strangers.clear();
    for (const call of this.#calls.values()) call.invalidated = 'all';
    this.#tellAll();
  }

  /** Forgets what has ended: for a cache that may not be asked again for long. */
  dropExpired(): void {
    const nowMs = this.#options.nowMs();
    for (const entries of [this.#entries, this.#strangers]) {
      for (const [key, { expiresAtMs }] of entries) if (expiresAtMs <= nowMs) entries.delete(key);
    }
  }

  /** Gives every lease `graceMs` to be renewed: for when invalidations may have been missed. */
  recheckAll(graceMs: number): void {
    const nowMs = this.#options.nowMs();
    for (const entry of this.#entries.values()) {
      entry.expiresAtMs = Math.min(entry.expiresAtMs, nowMs + graceMs);
      entry.refreshAtMs = nowMs;
    }
    for (const call of this.#calls.values()) call.invalidated = 'all';
    this.#tellAll();
  }

  #tell(subjectKey: string): void {
    for (const tell of this.#listeners.get(subjectKey) ?? []) tell();
  }

  #tellAll(): void {
    for (const subjectKey of this.#listeners.keys()) this.#tell(subjectKey);
  }

  #refresh(key: string, entry: Entry, asker: { readonly credential: string; readonly peer: string }): void {
    entry.refreshAtMs = this.#options.nowMs() + refreshRetryMs;
    if (this.#calls.has(key)) return;
    // The lease at hand is good until it ends; a failure shows then, if it lasts.
    this.#call(key, asker.credential, asker.peer).catch(() => {});
  }

  async #call(key: string, credential: string, peer: string): Promise<LeaseResponse> {
    const running = this.#calls.get(key);
    if (running !== undefined) return running.answer;
    const asker: Asker = { isKnown: this.#known.has(key), peer };
    if (!this.#places.take(asker)) throw new LeaseError('TooManyCalls', 'too many lease requests are under way');
    const call: Call = {
      answer: Promise.resolve().then(() => this.#fetch(key, credential, call)),
      invalidated: new Set(),
    };
    this.#calls.set(key, call);
    try {
      return await call.answer;
    } finally {
      this.#calls.delete(key);
      this.#places.giveBack(asker);
    }
  }

  async #fetch(key: string, credential: string, call: Call): Promise<LeaseResponse> {
    for (let attempt = 0; attempt < refetchesMax; attempt += 1) {
      call.invalidated = new Set();
      const askedAtMs = this.#options.nowMs();
      const response = await this.#options.fetchLease(credential);
      if (!this.#options.isWatching()) throw notWatching();
      if (concerns(call.invalidated, response)) continue;
      this.#remember(key, response, askedAtMs);
      return response;
    }
    throw new LeaseError('BrokerUnavailable', 'the lease was invalidated as often as it was given');
  }

  #remember(key: string, response: LeaseResponse, askedAtMs: number): void {
    this.#entries.delete(key);
    this.#strangers.delete(key);
    const ofUser = isOfUser(response);
    if (ofUser) this.#known.add(key);
    else if (response.decision === 'unauthenticated' && ttlOf(response) > 0) this.#known.delete(key);
    const ttlMs = ttlOf(response);
    if (ttlMs <= 0) return;
    const entries = ofUser ? this.#entries : this.#strangers;
    makeRoom(entries, ofUser ? (this.#options.entriesMax?.() ?? leaseEntriesMax) : strangerEntriesMax);
    entries.set(key, {
      response,
      // Counted from before the question, so that the lease never outlives what the broker meant.
      expiresAtMs: askedAtMs + ttlMs,
      refreshAtMs: response.decision === 'granted' ? askedAtMs + (ttlMs * 2) / 3 : Number.POSITIVE_INFINITY,
    });
  }
}

/** Whether the broker knows whose the credential is. */
function isOfUser(response: LeaseResponse): boolean {
  return 'subject' in response && response.subject !== undefined;
}

function touch(entries: Map<string, Entry>, key: string, entry: Entry): void {
  entries.delete(key);
  entries.set(key, entry);
}

/** The longest unused go first. */
function makeRoom(entries: Map<string, Entry>, entriesMax: number): void {
  for (const key of entries.keys()) {
    if (entries.size < entriesMax) return;
    entries.delete(key);
  }
}

function notWatching(): LeaseError {
  return new LeaseError('NotWatching', 'no watch stream, so an invalidation could be missed');
}

function concerns(invalidated: Call['invalidated'], response: LeaseResponse): boolean {
  if (invalidated === 'all') return true;
  return 'subjectKey' in response && invalidated.has(response.subjectKey);
}

function ttlOf(response: LeaseResponse): number {
  switch (response.decision) {
    case 'granted':
      return Math.min(response.ttlMs, leaseTtlMsMax);
    case 'missing':
    case 'invalid':
    case 'expired':
    case 'pendingApproval':
      return Math.min(response.ttlMs, refusalTtlMsMax);
    case 'denied':
      return response.reason === 'AuditUnavailable' ? 0 : refusalTtlMsMax;
    case 'unauthenticated':
      return response.reason === 'IssuerUnavailable' ? 0 : refusalTtlMsMax;
  }
}
