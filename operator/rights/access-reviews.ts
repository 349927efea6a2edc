import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import { type SubjectAccessReview, subjectAccessReviews } from '#operator/kube/resources.ts';

import { attributesOf, type Right } from './verbs.ts';

/** A user of the cluster, exactly as the API server knew them when they made their request. */
export interface ClusterUser {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** `unknown`: the API server could not be asked. Nothing is done then. */
export type AccessVerdict = 'allowed' | 'denied' | 'unknown';

/** A longer wait would hold up orders of others. */
const answerMsMax = 5_000;

/** Asks the API server what users may do. Nothing is remembered: a right that was taken away is gone for the next order. */
export class AccessReviews {
  readonly #client: Pick<KubeClient, 'review'>;

  constructor(client: Pick<KubeClient, 'review'>) {
    this.#client = client;
  }

  /** @throws KubeError when this replica does not lead any more */
  async ask(user: ClusterUser, right: Right): Promise<AccessVerdict> {
    const spec = { ...subjectOf(user), resourceAttributes: attributesOf(right) };
    try {
      const review = await this.#client.review<SubjectAccessReview>(
        subjectAccessReviews,
        { metadata: {}, spec },
        { signal: AbortSignal.timeout(answerMsMax) },
      );
      return review.status?.allowed === true ? 'allowed' : 'denied';
    } catch (error) {
      if (!isKubeError(error) || error.code === 'NotLeader') throw error;
      return 'unknown';
    }
  }
}

function subjectOf({ username, uid, groups, extra }: ClusterUser) {
  return { user: username, groups, ...(uid === undefined ? {} : { uid }), ...(extra === undefined ? {} : { extra }) };
}
