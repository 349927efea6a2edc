import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import { brokerAudience } from '#crds/v1alpha1/names.ts';

import { readClaimed } from './claimed.ts';
import { unauthenticated } from './identification-results.ts';
import type { Identification, TrustedIssuer } from './identification.ts';
import { identityLimits } from './identity-limits.ts';
import type { TokenReviewer, TokenReviewRefusal } from './token-review.ts';
import { TokenReviewUnavailableError } from './token-review.ts';

export type KubernetesIssuer = Extract<TrustedIssuer, { type: 'Kubernetes' }>;

/** Identifies users by tokens that the API server vouches for (ServiceAccount tokens, mostly). */
export class KubernetesTokenVerifier {
  readonly #reviewer: TokenReviewer;

  constructor(reviewer: TokenReviewer) {
    this.#reviewer = reviewer;
  }

  async verify(token: string, issuer: KubernetesIssuer): Promise<Identification> {
    const audiences = userAudiences(issuer);
    if (audiences.length === 0) return unauthenticated('AudienceMismatch');
    try {
      const verdict = await this.#reviewer.review(token, audiences);
      if (verdict.kind === 'refused') return explain(verdict.reason, token, audiences);
      return identified(verdict.user.username, verdict.user.groups, token);
    } catch (error) {
      if (error instanceof TokenReviewUnavailableError) return unauthenticated('IssuerUnavailable');
      throw error;
    }
  }
}

/** A sidecar's own pod token must never pass for a user, even where an organization names that audience by mistake. */
export function userAudiences({ audiences }: KubernetesIssuer): readonly string[] {
  return audiences.filter((audience) => audience !== brokerAudience);
}

function identified(username: string, groups: readonly string[], token: string): Identification {
  if (username.length > identityLimits.subjectIdCharsMax || groups.length > identityLimits.groupsMax) {
    return unauthenticated('ClaimMissing');
  }
  const expiresAtMs = expiryOf(token);
  return {
    kind: 'identified',
    subject: { issuer: kubernetesSubjectIssuer, id: username, name: username },
    groups: groups.filter((group) => group.length <= identityLimits.groupCharsMax),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

function expiryOf(token: string): number | undefined {
  const exp = readClaimed(token)?.exp;
  return typeof exp === 'number' ? exp * 1_000 : undefined;
}

/** The refusal stands already; the unverified claims only help to say why. */
function explain(refusal: TokenReviewRefusal, token: string, audiences: readonly string[]): Identification {
  if (refusal === 'AudienceMismatch') return unauthenticated('AudienceMismatch');
  const claims = readClaimed(token);
  if (claims === undefined) return unauthenticated('SignatureInvalid');
  const { exp, aud } = claims;
  if (typeof exp === 'number' && exp * 1_000 <= Date.now()) return unauthenticated('TokenExpired');
  const named = typeof aud === 'string' ? [aud] : Array.isArray(aud) ? aud : [];
  const meant = audiences.some((audience) => named.includes(audience));
  return unauthenticated(meant ? 'SignatureInvalid' : 'AudienceMismatch');
}
