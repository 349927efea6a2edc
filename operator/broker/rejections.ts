import type { KeyOutcome } from '#contract/outcome.ts';
import type { ServerRef } from '#contract/lease.ts';

import { brokerLimits } from './limits.ts';

/** A key version that the upstream has refused, and only that one. */
export interface Rejection {
  readonly server: ServerRef;
  /** Of a user, or `sharedKeyOwner`. */
  readonly subjectKey: string;
  readonly keyVersion: number;
}

/** What is thought of a rejection now. */
export type Verdict =
  /** It is the key. */
  | 'key'
  /** Several users are refused together: it may be the upstream, and then no key is at fault. */
  | 'upstreamSuspected'
  /** Too early to say. */
  | 'open';

/** One user at one server, as far as is known here. Times are monotonic milliseconds. */
export interface UserView {
  acceptedAtMs: number;
  rejected: RejectedView | undefined;
}

interface RejectedView {
  readonly keyVersion: number;
  readonly firstAtMs: number;
  lastAtMs: number;
  /** Was refused together with others: from then on only proof that others are served counts. */
  suspectsUpstream: boolean;
  /** Was found to be the key's fault. It stays, because it weighs in what is thought of others. */
  settled: boolean;
}

/**
 * Pure. A key is at fault when its user was refused before and after another user was served, or when nobody else was refused
 * around that time and `patienceMs` have passed in which others could have been.
 */
export function judge(rejected: RejectedView, { accepted, refused }: Seen, nowMs: number): Verdict {
  const { rejectionPatienceMs, rejectionsTogetherMs } = brokerLimits;
  const { firstAtMs, lastAtMs } = rejected;
  if (accepted.some((atMs) => atMs >= firstAtMs && atMs <= lastAtMs)) return 'key';
  const isTogether = (other: RejectedView): boolean =>
    other !== rejected && Math.abs(other.lastAtMs - lastAtMs) <= rejectionsTogetherMs;
  if (rejected.suspectsUpstream || refused.some(isTogether)) return 'upstreamSuspected';
  return nowMs - firstAtMs >= rejectionPatienceMs ? 'key' : 'open';
}

/** What is known of all users of a server. One who was refused has not been accepted since, so own times need not be left out. */
interface Seen {
  /** When each was served last. */
  readonly accepted: readonly number[];
  readonly refused: readonly RejectedView[];
}

interface ServerView {
  readonly server: ServerRef;
  /** In order of last report. */
  readonly users: Map<string, UserView>;
}

/**
 * What sidecars tell of keys that were accepted and refused, for some minutes, in this replica alone: a sidecar keeps to one, so that
 * one sees at least all that this sidecar sees.
 */
export class Rejections {
  readonly #monotonicMs: () => number;
  /** In order of last report. */
  readonly #servers = new Map<string, ServerView>();

  constructor(options: { readonly monotonicMs: () => number }) {
    this.#monotonicMs = options.monotonicMs;
  }

  /** Whether anything is left to be judged later. */
  get isEmpty(): boolean {
    return this.#servers.size === 0;
  }

  take(server: ServerRef, outcomes: readonly KeyOutcome[]): void {
    const nowMs = this.#monotonicMs();
    const { users } = this.#viewOf(server);
    for (const { subjectKey, keyVersion, outcome } of outcomes) {
      const user = users.get(subjectKey) ?? { acceptedAtMs: -Infinity, rejected: undefined };
      users.delete(subjectKey);
      users.set(subjectKey, user);
      if (outcome === 'accepted') accept(user, keyVersion, nowMs);
      else reject(user, keyVersion, nowMs);
      if (users.size > brokerLimits.rejectionUsersMax) forgetFirst(users);
    }
  }

  /** Every rejection with what is thought of it now. One that is found to be the key's is not named again. */
  judgeAll(): readonly (Rejection & { readonly verdict: Exclude<Verdict, 'open'>; readonly isNews: boolean })[] {
    const nowMs = this.#monotonicMs();
    this.#forgetOld(nowMs);
    return [...this.#servers.values()].flatMap((view) => judgeServer(view, nowMs));
  }

  #viewOf(server: ServerRef): ServerView {
    const key = `${server.namespace}/${server.name}`;
    const view = this.#servers.get(key) ?? { server, users: new Map<string, UserView>() };
    this.#servers.delete(key);
    this.#servers.set(key, view);
    if (this.#servers.size > brokerLimits.rejectionServersMax) forgetFirst(this.#servers);
    return view;
  }

  #forgetOld(nowMs: number): void {
    const oldestMs = nowMs - brokerLimits.rejectionMemoryMs;
    for (const [key, { users }] of this.#servers) {
      for (const [subjectKey, { acceptedAtMs, rejected }] of users) {
        if (Math.max(acceptedAtMs, rejected?.lastAtMs ?? -Infinity) < oldestMs) users.delete(subjectKey);
      }
      if (users.size === 0) this.#servers.delete(key);
    }
  }
}

function judgeServer({ server, users }: ServerView, nowMs: number): ReturnType<Rejections['judgeAll']> {
  const views = [...users.values()];
  const accepted = views.map(({ acceptedAtMs }) => acceptedAtMs).filter((atMs) => atMs > -Infinity);
  const refused = views.flatMap(({ rejected }) => (rejected === undefined ? [] : [rejected]));
  const judged = [...users].flatMap(([subjectKey, { rejected }]) => {
    if (rejected === undefined || rejected.settled) return [];
    const verdict = judge(rejected, { accepted, refused }, nowMs);
    return verdict === 'open' ? [] : [{ subjectKey, rejected, verdict }];
  });
  // Only now, so that all are judged by the same.
  return judged.map(({ subjectKey, rejected, verdict }) => {
    const isNews = verdict === 'key' || !rejected.suspectsUpstream;
    if (verdict === 'key') rejected.settled = true;
    else rejected.suspectsUpstream = true;
    return { server, subjectKey, keyVersion: rejected.keyVersion, verdict, isNews };
  });
}

function accept(user: UserView, keyVersion: number, nowMs: number): void {
  user.acceptedAtMs = nowMs;
  if (user.rejected !== undefined && user.rejected.keyVersion <= keyVersion) user.rejected = undefined;
}

function reject(user: UserView, keyVersion: number, nowMs: number): void {
  const { rejected } = user;
  if (rejected?.keyVersion === keyVersion) rejected.lastAtMs = nowMs;
  else user.rejected = { keyVersion, firstAtMs: nowMs, lastAtMs: nowMs, suspectsUpstream: false, settled: false };
}

function forgetFirst(map: Map<unknown, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
