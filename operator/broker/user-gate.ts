import type { Identification, TrustedIssuer, UserIdentifier } from '#operator/identity/identification.ts';
import { TokenCache, tokenKey } from '#operator/identity/token-cache.ts';

import { BrokerError } from './errors.ts';
import { brokerLimits } from './limits.ts';
import { DistinctWindow } from './windows.ts';

export interface UserGateOptions {
  readonly users: UserIdentifier;
  readonly monotonicMs: () => number;
}

/**
 * Second question: which user is this. A pod that shows many bad credentials is guessing; a pod that shows many different users
 * is enumerating. Either is refused before more is looked up for it.
 */
export class UserGate {
  readonly #users: UserIdentifier;
  readonly #failed: DistinctWindow;
  readonly #subjects: DistinctWindow;
  readonly #good: TokenCache<true>;

  constructor({ users, monotonicMs }: UserGateOptions) {
    const { windowMs, podsTrackedMax: keysMax } = brokerLimits;
    this.#users = users;
    this.#failed = new DistinctWindow({
      windowMs,
      keysMax,
      monotonicMs,
      countMax: brokerLimits.failedCredentialsPerPodMax,
    });
    this.#subjects = new DistinctWindow({
      windowMs,
      keysMax,
      monotonicMs,
      countMax: brokerLimits.newSubjectsPerPodMax,
    });
    this.#good = new TokenCache({
      entriesMax: brokerLimits.goodCredentialsMax,
      ttlMs: brokerLimits.goodCredentialTtlMs,
      monotonicMs,
    });
  }

  /** @throws BrokerError ERR_TOO_MANY_FAILURES */
  async identify(podUid: string, credential: string, issuers: readonly TrustedIssuer[]): Promise<Identification> {
    const key = tokenKey(credential);
    // Users who were good a moment ago do not pay for somebody who guesses through the same pod.
    if (this.#failed.isFull(podUid) && this.#good.get(key) === undefined) {
      throw new BrokerError('ERR_TOO_MANY_FAILURES');
    }
    const result = await this.#users.identify(credential, issuers);
    if (result.kind === 'identified') this.#good.set(key, true);
    else if (result.reason !== 'IssuerUnavailable') this.#failed.admit(podUid, key);
    return result;
  }

  /** @throws BrokerError ERR_TOO_MANY_SUBJECTS */
  admitSubject(podUid: string, subjectKey: string): void {
    if (!this.#subjects.admit(podUid, subjectKey)) throw new BrokerError('ERR_TOO_MANY_SUBJECTS');
  }
}
