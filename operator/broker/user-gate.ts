import type { Identification, Proof, TrustedIssuer, UserProver } from '#operator/identity/identification.ts';
import { TokenCache, tokenKey } from '#operator/identity/token-cache.ts';

import { BrokerError } from './errors.ts';
import { Lanes } from './lanes.ts';
import { brokerLimits } from './limits.ts';
import { DistinctWindow } from './windows.ts';

/** Something that only the API server can answer. */
interface Question {
  readonly podUid: string;
  readonly key: string;
  readonly proof: Extract<Proof, { kind: 'review' }>;
}

export interface UserGateOptions {
  readonly users: UserProver;
  readonly monotonicMs: () => number;
}

/**
 * Second question: which user is this. Bad credentials are those of strangers, not of the pod: they must not keep its users out.
 * So only questions to the API server are rationed; what this process can judge alone it always judges. A pod that shows many
 * different users is enumerating, and is refused.
 */
export class UserGate {
  readonly #users: UserProver;
  readonly #failed: DistinctWindow;
  readonly #subjects: DistinctWindow;
  readonly #good: TokenCache<true>;
  readonly #verifying = new Lanes({ runningMax: brokerLimits.verificationsPerPodMax, waitingMax: 0 });
  readonly #reviewing = new Lanes({
    runningMax: brokerLimits.reviewsPerPodMax,
    waitingMax: brokerLimits.reviewsWaitingPerPodMax,
  });

  constructor({ users, monotonicMs }: UserGateOptions) {
    const { windowMs, podsTrackedMax: keysMax } = brokerLimits;
    this.#users = users;
    this.#failed = new DistinctWindow({
      windowMs,
      keysMax,
      monotonicMs,
      countMax: brokerLimits.failedReviewsPerPodMax,
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

  /** @throws BrokerError ERR_TOO_MANY_FAILURES, ERR_BUSY */
  async identify(podUid: string, credential: string, issuers: readonly TrustedIssuer[]): Promise<Identification> {
    const proof = this.#users.proofOf(credential, issuers);
    switch (proof.kind) {
      case 'settled':
        return proof.result;
      case 'keys':
        return this.#verifying.run(podUid, proof.prove);
      case 'review':
        return this.#review({ podUid, key: tokenKey(credential), proof });
      default:
        return proof satisfies never;
    }
  }

  async #review(question: Question): Promise<Identification> {
    const { podUid, key } = question;
    // Users who were good a moment ago do not pay for somebody who guesses through the same pod.
    if (this.#good.get(key) !== undefined) return this.#ask(question);
    if (this.#failed.isFull(podUid)) return this.#askIfOurs(question);
    return this.#reviewing.run(podUid, () =>
      this.#failed.isFull(podUid) ? this.#askIfOurs(question) : this.#ask(question),
    );
  }

  /** The pod's questions are spent: only a token that the cluster itself has made is worth one more. */
  async #askIfOurs(question: Question): Promise<Identification> {
    const isOurs = await this.#verifying.run(question.podUid, question.proof.isOurs);
    if (!isOurs) throw new BrokerError('ERR_TOO_MANY_FAILURES');
    return this.#ask(question);
  }

  async #ask({ podUid, key, proof }: Question): Promise<Identification> {
    const result = await proof.prove();
    if (result.kind === 'identified') this.#good.set(key, true);
    else if (result.reason !== 'IssuerUnavailable') this.#failed.admit(podUid, key);
    return result;
  }

  /** @throws BrokerError ERR_TOO_MANY_SUBJECTS */
  admitSubject(podUid: string, subjectKey: string): void {
    if (!this.#subjects.admit(podUid, subjectKey)) throw new BrokerError('ERR_TOO_MANY_SUBJECTS');
  }
}
