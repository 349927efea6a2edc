import { randomBytes } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { identityLimits } from '#operator/identity/identity-limits.ts';
import { BrokerError } from '#operator/broker/errors.ts';
import { brokerLimits } from '#operator/broker/limits.ts';
import { UserGate } from '#operator/broker/user-gate.ts';
import type { TrustedIssuer } from '#operator/identity/identification.ts';
import { createClusterSignature } from '#operator/identity/cluster-signature.ts';
import { KubernetesTokenVerifier } from '#operator/identity/kubernetes-token.ts';
import { OidcVerifier } from '#operator/identity/oidc.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import { createUserIdentifier } from '#operator/identity/user-identifier.ts';
import { FakeIssuer } from '#test/support/fake-issuer.ts';
import { fakeReviews, unsignedJwt } from '#test/support/fake-reviews.ts';

const clusterIssuerURL = 'https://kubernetes.default.svc';
const cluster: TrustedIssuer = { type: 'Kubernetes', name: 'cluster', audiences: ['mcp'] };
const pod = 'pod-of-the-server';

/** A gate with real verification of tokens; only the issuer's network and the API server are played. */
async function world(options: { readonly knowsClusterIssuer?: boolean; readonly knowsClusterKeys?: boolean } = {}) {
  const idp = new FakeIssuer();
  await idp.addKey('k1');
  const own = new FakeIssuer(clusterIssuerURL);
  await own.addKey('own');
  const clock = { nowMs: 0 };
  const monotonicMs = (): number => clock.nowMs;
  const now = (): Date => new Date();
  const made = new Set<string>();
  const clusterToken = async (name: string): Promise<string> => {
    const token = await own.sign('own', { sub: name });
    made.add(token);
    return token;
  };
  const clusterSignature = createClusterSignature({
    clusterIssuerURL,
    fetchKeySet: () => own.http.fetchJson('/jwks', 0),
    now,
    monotonicMs,
  });
  let atOnce = 0;
  let atOnceMost = 0;
  const reviews = fakeReviews(async ({ token }) => {
    atOnce += 1;
    atOnceMost = Math.max(atOnceMost, atOnce);
    await new Promise(setImmediate);
    atOnce -= 1;
    const user = { username: 'system:serviceaccount:team-a:agent', groups: [], extra: {} };
    return token.endsWith('good') || made.has(token)
      ? { authenticated: true, audiences: ['mcp'], user }
      : { authenticated: false };
  });
  const users = createUserIdentifier({
    oidc: new OidcVerifier({ now, monotonicMs, createHttp: () => idp.http }),
    kubernetes: new KubernetesTokenVerifier(new TokenReviewer({ client: reviews, monotonicMs })),
    now,
    ...(options.knowsClusterIssuer === false ? {} : { clusterIssuerURL }),
    ...(options.knowsClusterKeys === false ? {} : { clusterSignature }),
  });
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const trusted: TrustedIssuer = { type: 'OIDC', name: 'idp', issuerURL: idp.url, audiences: ['mcp'], claims };
  const gate = new UserGate({ users, monotonicMs });
  const show = (credential: string, podUid = pod) => gate.identify(podUid, credential, [trusted, cluster]);
  return { idp, own, clusterToken, clock, reviews, show, atOnceMost: () => atOnceMost };
}

const inAMinute = (): number => Math.floor(Date.now() / 1_000) + 60;
const badSignature = (token: string): string =>
  `${token.slice(0, token.lastIndexOf('.') + 1)}${randomBytes(64).toString('base64url')}`;
const forgedClusterToken = (i: number): string => unsignedJwt({ iss: clusterIssuerURL, sub: `guess-${i}` });

type Show = Awaited<ReturnType<typeof world>>['show'];

/** What each attempt came to: a reason, or a code. Some at a time, as a sidecar sends them. */
async function flood(show: Show, credentials: readonly string[]): Promise<ReadonlySet<string>> {
  const outcomes = new Set<string>();
  const queue = credentials.values();
  const lane = async (): Promise<void> => {
    for (const credential of queue) outcomes.add(await outcomeOf(show, credential));
  };
  await Promise.all(Array.from({ length: 100 }, lane));
  return outcomes;
}

async function outcomeOf(show: Show, credential: string): Promise<string> {
  try {
    const result = await show(credential);
    return result.kind === 'identified' ? 'identified' : result.reason;
  } catch (error) {
    if (error instanceof BrokerError) return error.code;
    throw error;
  }
}

describe('strangers at the URL of one pod', () => {
  test('do not keep its users out: 2000 random bearers and 2000 forged tokens later, a token never seen before is good', async () => {
    const { idp, show, reviews } = await world();
    const random = Array.from({ length: 2_000 }, () => randomBytes(24).toString('base64url'));
    const template = await idp.sign('k1');
    const forged = Array.from({ length: 2_000 }, () => badSignature(template));
    expect(await flood(show, random)).toEqual(new Set(['CredentialMalformed']));
    expect(await flood(show, forged)).toEqual(new Set(['SignatureInvalid']));
    expect(await show(await idp.sign('k1', { sub: 'fresh' }))).toMatchObject({ kind: 'identified' });
    expect(reviews.asked).toEqual([]);
    expect(idp.asked).toHaveLength(2);
  });

  test('are not served instead of its users while they flood it', async () => {
    const { idp, show } = await world();
    const template = await idp.sign('k1');
    const flooding = flood(
      show,
      Array.from({ length: 2_000 }, () => badSignature(template)),
    );
    for (let i = 0; i < 20; i += 1) {
      expect(await show(await idp.sign('k1', { sub: `user-${i}` }))).toMatchObject({ kind: 'identified' });
    }
    await flooding;
  });

  test('do not keep out users of an issuer when they spend all questions to the API server', async () => {
    const { idp, show, reviews, atOnceMost } = await world();
    const outcomes = await flood(
      show,
      Array.from({ length: 2_000 }, (_, i) => forgedClusterToken(i)),
    );
    expect(outcomes).toContain('ERR_TOO_MANY_FAILURES');
    expect(reviews.asked.length).toBeLessThan(brokerLimits.failedReviewsPerPodMax + brokerLimits.reviewsPerPodMax);
    expect(atOnceMost()).toBeLessThanOrEqual(brokerLimits.reviewsPerPodMax);
    expect(await show(await idp.sign('k1'))).toMatchObject({ kind: 'identified' });
  });

  test('do not keep out fresh users of the cluster either, whose tokens the keys of the cluster tell from forged ones', async () => {
    const { own, clusterToken, show, reviews } = await world();
    const outcomes = await flood(
      show,
      Array.from({ length: 2_000 }, (_, i) => forgedClusterToken(i)),
    );
    expect(outcomes).toContain('ERR_TOO_MANY_FAILURES');
    const asked = reviews.asked.length;
    expect(await show(await clusterToken('fresh'))).toMatchObject({ kind: 'identified' });
    expect(reviews.asked).toHaveLength(asked + 1);
    expect(await outcomeOf(show, badSignature(await clusterToken('forged')))).toBe('ERR_TOO_MANY_FAILURES');
    expect(reviews.asked).toHaveLength(asked + 1);
    expect(own.asked.length).toBeLessThanOrEqual(1 + identityLimits.unknownKeyAsksMax);
  });

  test('get nowhere with a token that the cluster made and has revoked', async () => {
    const { own, show } = await world();
    await flood(
      show,
      Array.from({ length: 1_000 }, (_, i) => forgedClusterToken(i)),
    );
    expect(await show(await own.sign('own', { sub: 'revoked' }))).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('without the keys of the cluster, keep its fresh tokens waiting for the next minute, at their pod only', async () => {
    const { clock, show } = await world({ knowsClusterKeys: false });
    const good = (name: string): string => `${unsignedJwt({ iss: clusterIssuerURL, sub: name })}good`;
    expect(await show(good('early'))).toMatchObject({ kind: 'identified' });
    await flood(
      show,
      Array.from({ length: 1_000 }, (_, i) => forgedClusterToken(i)),
    );
    expect(await show(good('early'))).toMatchObject({ kind: 'identified' });
    await expect(show(good('late'))).rejects.toMatchObject({ code: 'ERR_TOO_MANY_FAILURES' });
    expect(await show(good('late'), 'another-pod')).toMatchObject({ kind: 'identified' });
    clock.nowMs += brokerLimits.windowMs;
    expect(await show(good('late'))).toMatchObject({ kind: 'identified' });
  });

  test('spend no question on tokens that say themselves that they are of no use', async () => {
    const { show, reviews } = await world();
    const own = { iss: clusterIssuerURL, 'kubernetes.io': {} };
    const ended = Array.from({ length: 700 }, (_, i) => unsignedJwt({ ...own, aud: ['mcp'], exp: i + 1 }));
    const foreign = Array.from({ length: 700 }, (_, i) =>
      unsignedJwt({ ...own, aud: [`other-${i}`], exp: inAMinute() }),
    );
    expect(await flood(show, ended)).toEqual(new Set(['TokenExpired']));
    expect(await flood(show, foreign)).toEqual(new Set(['AudienceMismatch']));
    expect(reviews.asked).toEqual([]);
  });

  test('are held back from the API server too where the issuer of the cluster is not known', async () => {
    const { idp, show, reviews } = await world({ knowsClusterIssuer: false });
    const random = Array.from({ length: 2_000 }, () => randomBytes(24).toString('base64url'));
    await flood(show, random);
    expect(reviews.asked.length).toBeLessThan(brokerLimits.failedReviewsPerPodMax + brokerLimits.reviewsPerPodMax);
    expect(await show(await idp.sign('k1'))).toMatchObject({ kind: 'identified' });
  });
});
