import type { RequestDecision } from '../contract/audit.ts';
import type { LeaseResponse, UserRules } from '../contract/lease.ts';
import type { LeaseSource } from './layers/identify.ts';
import { userOf } from './sessions.ts';

/** By what a stream was opened. */
export interface StreamLease {
  readonly credential: string;
  readonly peer: string;
  /** As `userOf` writes it. */
  readonly user: string;
  /** Absent: nothing is heard of changes. */
  readonly subjectKey: string | undefined;
  /** Whether a key was sent; a stream without one goes on without. */
  readonly hasKey: boolean;
  /** Of the user's own key that was sent; undefined: none of theirs was. */
  readonly keyVersion: number | undefined;
}

export interface StreamLeaseLimits {
  /** Longest between two looks at a credential; shorter where its end is known. */
  readonly checkMsMax: number;
  /** Shortest, and the wait for a broker that does not answer. */
  readonly checkMsMin: number;
  /** How long after its end a credential is looked at: no lease that rests on it is held any more. */
  readonly afterEndMs: number;
  /** How long streams go on that were opened with a key that its user has replaced. */
  readonly formerKeyMsMax: number;
  /** How long streams go on that nobody can judge. */
  readonly unknownMsMax: number;
  /** Questions at a time, so that a change that concerns all leaves places for requests. */
  readonly checksMax: number;
}

export const streamLeaseLimits: StreamLeaseLimits = {
  checkMsMax: 900_000,
  checkMsMin: 5_000,
  afterEndMs: 1_500,
  formerKeyMsMax: 600_000,
  unknownMsMax: 60_000,
  checksMax: 16,
};

/** What becomes of a stream. */
export interface StreamFate {
  /** It may not go on; the reason is for the record. */
  end(why: RequestDecision): void;
  /** It goes on, by what holds for its user now. */
  goOn(userRules: UserRules | undefined): void;
}

interface Opened extends Pick<StreamLease, 'hasKey' | 'keyVersion'> {
  /** When another key was first seen in its place. */
  formerSinceMs: number | undefined;
  readonly fate: StreamFate;
}

interface Watched {
  readonly lease: StreamLease;
  readonly streams: Set<Opened>;
  /** Ends the wait for news. */
  wake: () => void;
  /** When the broker last gave an answer that counts. */
  judgedAtMs: number;
}

export interface StreamLeasesOptions {
  readonly leases: LeaseSource;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly limits?: StreamLeaseLimits;
}

/**
 * Lets streams that are open last as long as what they were opened by: asks the broker again when something of their user has changed and
 * when their credential has ended, once for all streams of one credential.
 */
export class StreamLeases {
  readonly #options: StreamLeasesOptions;
  readonly #limits: StreamLeaseLimits;
  readonly #watched = new Map<string, Watched>();
  readonly #waiting: (() => void)[] = [];
  #checks = 0;

  constructor(options: StreamLeasesOptions) {
    this.#options = options;
    this.#limits = options.limits ?? streamLeaseLimits;
  }

  /** Credentials of open streams. */
  get size(): number {
    return this.#watched.size;
  }

  /** Tells `fate` what becomes of the stream; the result takes that back. */
  add(lease: StreamLease, fate: StreamFate): () => void {
    const { hasKey, keyVersion } = lease;
    const stream: Opened = { hasKey, keyVersion, formerSinceMs: undefined, fate };
    const known = this.#watched.get(lease.credential);
    const watched = known ?? { lease, streams: new Set(), wake: () => {}, judgedAtMs: this.#options.nowMs() };
    watched.streams.add(stream);
    if (known === undefined) {
      this.#watched.set(lease.credential, watched);
      void this.#follow(watched);
    }
    return () => this.#drop(watched, stream);
  }

  #drop(watched: Watched, stream: Opened): void {
    watched.streams.delete(stream);
    if (watched.streams.size > 0) return;
    if (this.#watched.get(watched.lease.credential) === watched) this.#watched.delete(watched.lease.credential);
    watched.wake();
  }

  /** Listens before it asks, so that nothing is missed in between; asks at once, as something may have changed since the request came. */
  async #follow(watched: Watched): Promise<void> {
    while (watched.streams.size > 0) {
      const round = new AbortController();
      watched.wake = () => round.abort();
      const news = this.#options.leases.changed(watched.lease.subjectKey ?? '', round.signal);
      const nextMs = await this.#check(watched);
      if (watched.streams.size === 0) return round.abort();
      const timer = setTimeout(() => round.abort(), nextMs);
      await news;
      clearTimeout(timer);
    }
  }

  /** Resolves when to look again. */
  async #check(watched: Watched): Promise<number> {
    const { checkMsMax, checkMsMin, afterEndMs, unknownMsMax } = this.#limits;
    const lease = await this.#ask(watched.lease);
    const verdict = lease === undefined ? 'unknown' : judge(lease, watched.lease.user);
    if (verdict !== 'unknown') watched.judgedAtMs = this.#options.nowMs();
    if (verdict === 'unknown') {
      if (this.#options.nowMs() - watched.judgedAtMs >= unknownMsMax) this.#end(watched, 'brokerUnavailable');
      return checkMsMin;
    }
    if (verdict.kind === 'end') this.#end(watched, verdict.why, verdict.onlyWithKey);
    const formerLeftMs = lease?.decision === 'granted' ? this.#endFormer(watched, lease) : checkMsMax;
    for (const stream of watched.streams) stream.fate.goOn(rulesIn(lease));
    const leftMs = verdict.kind === 'keep' ? verdict.credentialMs : undefined;
    const credentialLeftMs = leftMs === undefined ? checkMsMax : leftMs + afterEndMs;
    return Math.min(checkMsMax, Math.max(checkMsMin, Math.min(credentialLeftMs, formerLeftMs)));
  }

  /** Ends at once what was opened with a key that was revoked, and after a while what was with one that was replaced. When to look again. */
  #endFormer(watched: Watched, { keyVersion, keySource, revokedUpTo = 0 }: Granted): number {
    const nowMs = this.#options.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const stream of watched.streams) {
      const opened = stream.keyVersion;
      // A shared key that took the place of the user's own has versions of its own.
      if (opened === undefined || (keySource === undefined && opened >= keyVersion)) continue;
      stream.formerSinceMs ??= nowMs;
      const leftMs = opened <= revokedUpTo ? 0 : stream.formerSinceMs + this.#limits.formerKeyMsMax - nowMs;
      if (leftMs <= 0) this.#endOne(watched, stream, 'keyMissing');
      else nextMs = Math.min(nextMs, leftMs);
    }
    return nextMs;
  }

  #end(watched: Watched, why: RequestDecision, onlyWithKey = false): void {
    for (const stream of watched.streams) {
      if (onlyWithKey && !stream.hasKey) continue;
      this.#endOne(watched, stream, why);
    }
  }

  #endOne(watched: Watched, stream: Opened, why: RequestDecision): void {
    this.#drop(watched, stream);
    stream.fate.end(why);
  }

  async #ask({ credential, peer }: StreamLease): Promise<LeaseResponse | undefined> {
    if (this.#checks >= this.#limits.checksMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#checks += 1;
    try {
      return await this.#options.leases.lease(credential, peer);
    } catch {
      return undefined;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#checks -= 1;
      else next();
    }
  }
}

type Granted = Extract<LeaseResponse, { decision: 'granted' }>;

function rulesIn(lease: LeaseResponse | undefined): UserRules | undefined {
  return lease === undefined || lease.decision === 'unauthenticated' ? undefined : lease.userRules;
}

type Verdict =
  | { readonly kind: 'keep'; readonly credentialMs: number | undefined }
  | { readonly kind: 'end'; readonly why: RequestDecision; readonly onlyWithKey: boolean }
  /** Says nothing of the user. */
  | 'unknown';

/** Pure. */
function judge(lease: LeaseResponse, user: string): Verdict {
  switch (lease.decision) {
    case 'granted':
      return userOf(lease.subject) === user
        ? { kind: 'keep', credentialMs: lease.credentialMs }
        : { kind: 'end', why: 'unauthenticated', onlyWithKey: false };
    case 'missing':
    case 'invalid':
    case 'expired':
    case 'pendingApproval':
      return { kind: 'end', why: 'keyMissing', onlyWithKey: true };
    case 'denied':
      if (lease.reason === 'AuditUnavailable') return 'unknown';
      return lease.reason === 'KeyUnreadable'
        ? { kind: 'end', why: 'keyMissing', onlyWithKey: true }
        : { kind: 'end', why: 'denied', onlyWithKey: false };
    case 'unauthenticated':
      if (lease.reason === 'IssuerUnavailable') return 'unknown';
      return { kind: 'end', why: 'unauthenticated', onlyWithKey: false };
  }
}
