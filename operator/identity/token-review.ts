import { KubeError } from '#operator/kube/errors.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { tokenReviews } from '#operator/kube/resources.ts';
import type { TokenReview } from '#operator/kube/resources.ts';

import { identityLimits } from './identity-limits.ts';
import { TokenCache, tokenKey } from './token-cache.ts';

/** A user as the API server names it, after every check that holds for all kinds of token. */
export interface ReviewedUser {
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export type TokenReviewRefusal = 'NotAuthenticated' | 'ReviewError' | 'AudienceMismatch' | 'UserMissing';

export type TokenReviewVerdict =
  | { readonly kind: 'authenticated'; readonly user: ReviewedUser }
  | { readonly kind: 'refused'; readonly reason: TokenReviewRefusal };

/** The API server could not be asked. Nothing is known about the token, so nothing may follow from it. */
export class TokenReviewUnavailableError extends Error {
  readonly code = 'ERR_TOKEN_REVIEW_UNAVAILABLE';

  constructor(options?: ErrorOptions) {
    super('The API server could not be asked about a token', options);
    this.name = 'TokenReviewUnavailableError';
  }
}

/**
 * Judges what the API server answered. `status.audiences` must be there and name one of ours: an API server or authenticator
 * that is not audience-aware leaves it out, and then the token may have been made for anybody.
 */
export function judgeTokenReview(status: TokenReview['status'], audiences: readonly string[]): TokenReviewVerdict {
  if (status?.authenticated !== true) return refused('NotAuthenticated');
  if (status.error !== undefined && status.error !== '') return refused('ReviewError');
  if (!audiences.some((audience) => status.audiences?.includes(audience))) return refused('AudienceMismatch');
  const { username = '', groups = [], extra = {} } = status.user ?? {};
  return username === '' ? refused('UserMissing') : { kind: 'authenticated', user: { username, groups, extra } };
}

function refused(reason: TokenReviewRefusal): TokenReviewVerdict {
  return { kind: 'refused', reason };
}

export interface TokenReviewerOptions {
  readonly client: Pick<KubeClient, 'review'>;
  readonly monotonicMs: () => number;
}

/** Asks the API server about tokens; keeps answers, good and bad, for 10 s under the token's hash. */
export class TokenReviewer {
  readonly #client: Pick<KubeClient, 'review'>;
  readonly #cache: TokenCache<TokenReviewVerdict>;
  #inFlight = 0;

  constructor(options: TokenReviewerOptions) {
    this.#client = options.client;
    this.#cache = new TokenCache({
      entriesMax: identityLimits.tokenReviewsCachedMax,
      ttlMs: identityLimits.tokenReviewTtlMs,
      monotonicMs: options.monotonicMs,
    });
  }

  /** @throws TokenReviewUnavailableError when the API server cannot be asked, or too many questions are open */
  review(token: string, audiences: readonly string[]): Promise<TokenReviewVerdict> {
    return this.#cache.getOrLoad(tokenKey(token, audiences), () => this.#ask(token, audiences));
  }

  async #ask(token: string, audiences: readonly string[]): Promise<TokenReviewVerdict> {
    if (this.#inFlight >= identityLimits.tokenReviewsInFlightMax) throw new TokenReviewUnavailableError();
    this.#inFlight += 1;
    try {
      const review = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences },
      };
      const signal = AbortSignal.timeout(identityLimits.tokenReviewTimeoutMs);
      const answer = await this.#client.review(tokenReviews, review, { signal });
      return judgeTokenReview(answer.status, audiences);
    } catch (cause) {
      throw cause instanceof KubeError ? new TokenReviewUnavailableError({ cause }) : cause;
    } finally {
      this.#inFlight -= 1;
    }
  }
}
