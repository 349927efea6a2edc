import { describe, expect, test } from 'vitest';

import { credentialBytesMax } from '#contract/lease.ts';
import type { Identification, TrustedIssuer } from '#operator/identity/identification.ts';
import { unauthenticated } from '#operator/identity/identification-results.ts';
import { createUserIdentifier } from '#operator/identity/user-identifier.ts';
import { unsignedJwt } from '#test/support/fake-reviews.ts';

const claims = { subject: 'sub', groups: 'groups', name: 'email' };
const oidc = (issuerURL: string, name = issuerURL): TrustedIssuer => ({
  type: 'OIDC',
  name,
  issuerURL,
  audiences: ['mcp'],
  claims,
});
const cluster: TrustedIssuer = { type: 'Kubernetes', name: 'cluster', audiences: ['ours'] };

function identified(by: string): Identification {
  return { kind: 'identified', subject: { issuer: by, id: by, name: by }, groups: [] };
}

const nowMs = 1_800_000_000_000;
const nowSeconds = nowMs / 1_000;

function setUp(options: { clusterIssuerURL?: string; refuse?: string } = {}) {
  const calls: string[] = [];
  const { refuse, ...rest } = options;
  const identifier = createUserIdentifier({
    ...rest,
    now: () => new Date(nowMs),
    oidc: {
      verify: (_, issuer) => {
        calls.push(issuer.name);
        return Promise.resolve(issuer.name === refuse ? unauthenticated('AudienceMismatch') : identified(issuer.name));
      },
    },
    kubernetes: {
      verify: () => {
        calls.push('cluster');
        return Promise.resolve(identified('cluster'));
      },
    },
  });
  return { identifier, calls };
}

describe('who has to prove a credential', () => {
  test('the OIDC issuer that it names, and nobody else', async () => {
    const { identifier, calls } = setUp();
    const issuers = [cluster, oidc('https://a'), oidc('https://b')];
    expect(await identifier.identify(unsignedJwt({ iss: 'https://b' }), issuers)).toEqual(identified('https://b'));
    expect(calls).toEqual(['https://b']);
  });

  test('the cluster, for what names no OIDC issuer of the organization', async () => {
    const { identifier, calls } = setUp();
    const issuers = [oidc('https://a'), cluster];
    await identifier.identify(unsignedJwt({ iss: 'https://kubernetes.default.svc' }), issuers);
    await identifier.identify('opaque-token', issuers);
    expect(calls).toEqual(['cluster', 'cluster']);
  });

  test('the cluster only for its own tokens, when its issuer is known', async () => {
    const { identifier, calls } = setUp({ clusterIssuerURL: 'https://kubernetes.default.svc' });
    const result = await identifier.identify(unsignedJwt({ iss: 'https://elsewhere' }), [cluster]);
    expect(result).toMatchObject({ reason: 'IssuerNotTrusted' });
    expect(await identifier.identify('opaque-token', [cluster])).toMatchObject({ reason: 'CredentialMalformed' });
    expect(calls).toEqual([]);
    await identifier.identify(unsignedJwt({ iss: 'https://kubernetes.default.svc' }), [cluster]);
    expect(calls).toEqual(['cluster']);
  });

  test('nobody, for an issuer of another organization', async () => {
    const { identifier, calls } = setUp();
    const result = await identifier.identify(unsignedJwt({ iss: 'https://other' }), [oidc('https://a')]);
    expect(result).toMatchObject({ kind: 'unauthenticated', reason: 'IssuerNotTrusted' });
    expect(calls).toEqual([]);
  });

  test('any of several entries for one issuer', async () => {
    const { identifier, calls } = setUp({ refuse: 'first' });
    const issuers = [oidc('https://a', 'first'), oidc('https://a', 'second')];
    expect(await identifier.identify(unsignedJwt({ iss: 'https://a' }), issuers)).toEqual(identified('second'));
    expect(calls).toEqual(['first', 'second']);
  });

  test('nobody, for an issuer whose URL could be read as part of a subject', async () => {
    const { identifier } = setUp();
    const issuers = [oidc('https://a|b')];
    expect(await identifier.identify(unsignedJwt({ iss: 'https://a|b' }), issuers)).toMatchObject({
      reason: 'IssuerNotTrusted',
    });
  });

  test.each([
    ['', 'CredentialMissing'],
    ['not a token', 'CredentialMalformed'],
    ['token\r\nX-Injected: 1', 'CredentialMalformed'],
    ['tökén', 'CredentialMalformed'],
    ['x'.repeat(credentialBytesMax + 1), 'CredentialMalformed'],
    ['opaque', 'CredentialMalformed'],
    ['a.b.c', 'CredentialMalformed'],
    [unsignedJwt({ iss: ['https://a'] }), 'IssuerNotTrusted'],
    [unsignedJwt({}), 'CredentialMalformed'],
  ])('nobody, for %o', async (credential, reason) => {
    const { identifier, calls } = setUp();
    expect(await identifier.identify(credential, [oidc('https://a')])).toMatchObject({
      kind: 'unauthenticated',
      reason,
    });
    expect(calls).toEqual([]);
  });

  test('nobody, without any issuer', async () => {
    const { identifier } = setUp();
    expect(await identifier.identify(unsignedJwt({ iss: 'https://a' }), [])).toMatchObject({
      reason: 'IssuerNotTrusted',
    });
  });
});

describe('what is settled by the words of a credential alone', () => {
  const issuers = [oidc('https://a')];

  test.each([
    ['has ended', { exp: nowSeconds - 60 }, 'TokenExpired'],
    ['is for somebody else', { aud: 'other' }, 'AudienceMismatch'],
    ['is for several others', { aud: ['other', 'mcp-too'] }, 'AudienceMismatch'],
    ['has an audience that is no text', { aud: { mcp: true } }, 'AudienceMismatch'],
  ])('a token that %s asks nobody', async (_, claims, reason) => {
    const { identifier, calls } = setUp();
    const credential = unsignedJwt({ iss: 'https://a', ...claims });
    expect(identifier.proofOf(credential, issuers)).toMatchObject({ kind: 'settled', result: { reason } });
    expect(await identifier.identify(credential, issuers)).toMatchObject({ reason });
    expect(calls).toEqual([]);
  });

  test.each([
    ['says nothing', {}],
    ['has ended within the tolerance of a clock', { exp: nowSeconds - 59 }],
    ['has an end that is no number', { exp: 'never' }],
    ['is for us among others', { aud: ['other', 'mcp'] }],
  ])('a token that %s has to be verified', (_, claims) => {
    const { identifier } = setUp();
    expect(identifier.proofOf(unsignedJwt({ iss: 'https://a', ...claims }), issuers).kind).toBe('keys');
  });

  test('one entry of an issuer may still want what another does not', async () => {
    const { identifier, calls } = setUp();
    const other = { ...oidc('https://a', 'other'), audiences: ['other'] } as TrustedIssuer;
    await identifier.identify(unsignedJwt({ iss: 'https://a', aud: 'other' }), [...issuers, other]);
    expect(calls).toEqual(['other']);
  });

  test('a token of the cluster for its own broker is nobody, whatever the organization says', () => {
    const { identifier } = setUp();
    const careless = { ...cluster, audiences: ['mcp-keyring-broker'] } as TrustedIssuer;
    const credential = unsignedJwt({ aud: ['mcp-keyring-broker'], 'kubernetes.io': {} });
    expect(identifier.proofOf(credential, [careless])).toMatchObject({ result: { reason: 'AudienceMismatch' } });
  });

  test('what is no ServiceAccount token is left to the API server', () => {
    const { identifier } = setUp();
    for (const credential of ['opaque', unsignedJwt({ aud: 'other', exp: 1 })]) {
      expect(identifier.proofOf(credential, [cluster]).kind).toBe('review');
    }
  });
});
