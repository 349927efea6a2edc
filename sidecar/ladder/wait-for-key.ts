import type { LeaseResponse } from '../contract/lease.ts';
import { pause } from '../leases/backoff.ts';
import { LeaseError } from '../leases/lease-error.ts';

export interface KeyWait {
  readonly leases: {
    lease(credential: string): LeaseResponse | Promise<LeaseResponse>;
    /** Resolves when what is known of the user may have changed, or when `signal` aborts. */
    changed(subjectKey: string, signal: AbortSignal): Promise<void>;
  };
  readonly credential: string;
  readonly subjectKey: string;
  /** Whether this answer of the broker ends the wait. */
  readonly isEnough: (lease: LeaseResponse) => boolean;
  readonly msMax: number;
  readonly pollMs: number;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

/** Resolves the broker's last answer: the one that is enough, or whatever it was when time was up. Never rejects. */
export async function waitForKey(wait: KeyWait): Promise<LeaseResponse | undefined> {
  const over = AbortSignal.any([wait.signal, AbortSignal.timeout(wait.msMax)]);
  let last: LeaseResponse | undefined;
  for (;;) {
    using round = nextRound(over);
    // Listens before it asks, so that no notice falls in between.
    const changed = wait.leases.changed(wait.subjectKey, round.signal);
    last = (await ask(wait)) ?? last;
    if (over.aborted || (last !== undefined && wait.isEnough(last))) return last;
    await Promise.race([changed, pause(wait.pollMs, round.signal)]);
  }
}

/** A broker that is away for a moment is waited for like the key. */
async function ask({ leases, credential }: KeyWait): Promise<LeaseResponse | undefined> {
  try {
    return await leases.lease(credential);
  } catch (error) {
    if (error instanceof LeaseError) return undefined;
    throw error;
  }
}

function nextRound(over: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const ended = new AbortController();
  return { signal: AbortSignal.any([over, ended.signal]), [Symbol.dispose]: () => ended.abort() };
}
