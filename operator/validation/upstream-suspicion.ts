import type { ServerRef } from '#contract/lease.ts';

import type { ProbeFinding } from './verdict.ts';

/** Within which others count. */
export const suspicionMs = 600_000;
/** Users refused together with whom it is rather the upstream than the key. */
export const othersMin = 2;
const usersMax = 64;
const serversMax = 1_024;

interface Seen {
  readonly isRefused: boolean;
  readonly atMs: number;
}

/**
 * Whether a probe that was refused says something of the key. As with live traffic, an upstream that refuses several users and serves
 * none is at fault itself, and no key is.
 */
export class UpstreamSuspicion {
  readonly #nowMs: () => number;
  /** By server, then by user, in order of the last probe. */
  readonly #servers = new Map<string, Map<string, Seen>>();

  constructor(options: { readonly nowMs: () => number }) {
    this.#nowMs = options.nowMs;
  }

  /** The finding, or that it is rather about the upstream. */
  judge({ namespace, name }: ServerRef, user: string, finding: ProbeFinding): ProbeFinding {
    if (finding.verdict === undefined) return finding;
    const key = `${namespace}/${name}`;
    const users = this.#servers.get(key) ?? new Map<string, Seen>();
    const isRefused = finding.verdict === 'Rejected';
    keepNewest(this.#servers, key, { value: users, sizeMax: serversMax });
    keepNewest(users, user, { value: { isRefused, atMs: this.#nowMs() }, sizeMax: usersMax });
    return isRefused && this.#isTogether(users, user) ? { reason: 'UpstreamSuspected' } : finding;
  }

  #isTogether(users: ReadonlyMap<string, Seen>, user: string): boolean {
    const oldestMs = this.#nowMs() - suspicionMs;
    const others = [...users].filter(([other, { atMs }]) => other !== user && atMs >= oldestMs);
    return others.length >= othersMin && others.every(([, { isRefused }]) => isRefused);
  }
}

function keepNewest<Value>(
  map: Map<string, Value>,
  key: string,
  { value, sizeMax }: { readonly value: Value; readonly sizeMax: number },
): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > sizeMax && oldest !== undefined) map.delete(oldest);
}
