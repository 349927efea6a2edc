import { describe, expect, test } from 'vitest';

import { identityLimits } from '#operator/identity/identity-limits.ts';
import { KubernetesTokenVerifier } from '#operator/identity/kubernetes-token.ts';
import { judgeTokenReview, TokenReviewer } from '#operator/identity/token-review.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { TokenReview } from '#operator/kube/resources.ts';
import { fakeReviews, unsignedJwt } from '#test/support/fake-reviews.ts';

const good: TokenReview['status'] = {
  authenticated: true,
  audiences: ['ours'],
  user: { username: 'system:serviceaccount:team-a:agent', groups: ['system:serviceaccounts'] },
};

describe('what a TokenReview proves', () => {
  test('an authenticated user of our audience', () => {
    expect(judgeTokenReview(good, ['ours'])).toMatchObject({
      kind: 'authenticated',
      user: { username: 'system:serviceaccount:team-a:agent' },
    });
  });

  test.each([
    ['no status at all', undefined, 'NotAuthenticated'],
    ['authenticated is false', { ...good, authenticated: false }, 'NotAuthenticated'],
    ['authenticated is left out', { audiences: ['ours'], user: good.user! }, 'NotAuthenticated'],
    ['authenticated is text', { ...good, authenticated: 'true' as unknown as boolean }, 'NotAuthenticated'],
    ['an error beside authenticated', { ...good, error: 'lookup failed' }, 'ReviewError'],
    ['audiences left out: an authenticator that knows none', { ...good, audiences: undefined }, 'AudienceMismatch'],
    ['no audience', { ...good, audiences: [] }, 'AudienceMismatch'],
    ['another audience', { ...good, audiences: ['https://kubernetes.default.svc'] }, 'AudienceMismatch'],
    ['an audience that only begins like ours', { ...good, audiences: ['ours-too'] }, 'AudienceMismatch'],
    ['no user', { ...good, user: undefined }, 'UserMissing'],
    ['a user without name', { ...good, user: { username: '' } }, 'UserMissing'],
  ])('nothing, with %s', (_, status, reason) => {
    expect(judgeTokenReview(status as TokenReview['status'], ['ours'])).toEqual({ kind: 'refused', reason });
  });
});

describe('asking the API server', () => {
  test('keeps yes and no for 10 s, by token and audience', async () => {
    const clock = { nowMs: 0 };
    const reviews = fakeReviews(({ token }) => (token === 'good' ? good : { authenticated: false }));
    const reviewer = new TokenReviewer({ client: reviews, monotonicMs: () => clock.nowMs });
    for (let i = 0; i < 3; i += 1) {
      expect((await reviewer.review('good', ['ours'])).kind).toBe('authenticated');
      expect((await reviewer.review('bad', ['ours'])).kind).toBe('refused');
    }
    expect(reviews.asked).toHaveLength(2);
    await reviewer.review('good', ['theirs']);
    expect(reviews.asked).toHaveLength(3);
    clock.nowMs = identityLimits.tokenReviewTtlMs;
    await reviewer.review('good', ['ours']);
    expect(reviews.asked).toHaveLength(4);
  });

  test('sends the audiences it wants', async () => {
    const reviews = fakeReviews(() => good);
    await new TokenReviewer({ client: reviews, monotonicMs: () => 0 }).review('t', ['ours', 'second']);
    expect(reviews.asked).toEqual([{ token: 't', audiences: ['ours', 'second'] }]);
  });

  test('rejects, and keeps nothing, when the API server cannot be asked', async () => {
    let down = true;
    const reviews = fakeReviews(() => {
      if (down) throw new KubeError('Unavailable', 'create tokenreviews: 503');
      return good;
    });
    const reviewer = new TokenReviewer({ client: reviews, monotonicMs: () => 0 });
    await expect(reviewer.review('t', ['ours'])).rejects.toMatchObject({ code: 'ERR_TOKEN_REVIEW_UNAVAILABLE' });
    down = false;
    expect((await reviewer.review('t', ['ours'])).kind).toBe('authenticated');
  });

  test('bounds the questions that are open at once', async () => {
    const reviews = fakeReviews(
      () => new Promise<TokenReview['status']>((resolve) => setTimeout(() => resolve(good), 20)),
    );
    const reviewer = new TokenReviewer({ client: reviews, monotonicMs: () => 0 });
    const asked = Array.from({ length: identityLimits.tokenReviewsInFlightMax + 5 }, (_, i) =>
      reviewer.review(`t${i}`, ['ours']),
    );
    const results = await Promise.allSettled(asked);
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(5);
    expect(reviews.asked).toHaveLength(identityLimits.tokenReviewsInFlightMax);
  });
});

describe('a user with a token of the cluster', () => {
  const issuer = { type: 'Kubernetes', name: 'cluster', audiences: ['ours'] } as const;
  const verifierOf = (answer: Parameters<typeof fakeReviews>[0]): KubernetesTokenVerifier =>
    new KubernetesTokenVerifier(new TokenReviewer({ client: fakeReviews(answer), monotonicMs: () => 0 }));

  test('is who the API server says, whatever the token says', async () => {
    const exp = Math.floor(Date.now() / 1_000) + 600;
    const token = unsignedJwt({ sub: 'system:serviceaccount:kube-system:admin', exp });
    expect(await verifierOf(() => good).verify(token, issuer)).toEqual({
      kind: 'identified',
      subject: {
        issuer: 'kubernetes',
        id: 'system:serviceaccount:team-a:agent',
        name: 'system:serviceaccount:team-a:agent',
      },
      groups: ['system:serviceaccounts'],
      expiresAtMs: exp * 1_000,
    });
  });

  test.each([
    ['expired', { exp: 1, aud: 'ours' }, 'TokenExpired'],
    ['of another audience', { exp: 99_999_999_999, aud: ['theirs'] }, 'AudienceMismatch'],
    ['not signed by the cluster', { exp: 99_999_999_999, aud: ['ours'] }, 'SignatureInvalid'],
  ])('is told that the token is %s', async (_, claims, reason) => {
    const verifier = verifierOf(() => ({ authenticated: false, error: 'invalid bearer token' }));
    expect(await verifier.verify(unsignedJwt(claims), issuer)).toMatchObject({ kind: 'unauthenticated', reason });
  });

  test('is refused while the API server cannot be asked', async () => {
    const verifier = verifierOf(() => {
      throw new KubeError('Timeout', 'create tokenreviews: timeout');
    });
    expect(await verifier.verify('t', issuer)).toMatchObject({ reason: 'IssuerUnavailable' });
  });

  test('never proves anything with the audience of pods, even where an organization lists it', async () => {
    const reviews = fakeReviews(() => ({ ...good, audiences: ['mcp-keyring-broker'] }));
    const verifier = new KubernetesTokenVerifier(new TokenReviewer({ client: reviews, monotonicMs: () => 0 }));
    const audiences = ['mcp-keyring-broker'];
    expect(await verifier.verify('pod-token', { ...issuer, audiences })).toMatchObject({ reason: 'AudienceMismatch' });
    expect(await verifier.verify('pod-token', { ...issuer, audiences: [...audiences, 'ours'] })).toMatchObject({
      reason: 'AudienceMismatch',
    });
    expect(reviews.asked.flatMap((asked) => asked.audiences)).toEqual(['ours']);
  });
});
