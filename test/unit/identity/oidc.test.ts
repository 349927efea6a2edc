import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

import { exportSPKI, importJWK } from 'jose';
import { describe, expect, test } from 'vitest';

import { identityLimits } from '#operator/identity/identity-limits.ts';
import type { OidcIssuer } from '#operator/identity/oidc.ts';
import { OidcVerifier } from '#operator/identity/oidc.ts';
import { FakeIssuer } from '#test/support/fake-issuer.ts';

const claimNames = { subject: 'sub', groups: 'groups', name: 'email' };

interface World {
  readonly idp: FakeIssuer;
  readonly clock: { nowMs: number };
  readonly trusted: OidcIssuer;
  readonly verify: (token: string, trusted?: OidcIssuer) => ReturnType<OidcVerifier['verify']>;
}

async function world(): Promise<World> {
  const idp = new FakeIssuer();
  await idp.addKey('k1');
  const clock = { nowMs: 0 };
  const verifier = new OidcVerifier({
    now: () => new Date(),
    monotonicMs: () => clock.nowMs,
    createHttp: () => idp.http,
  });
  const trusted: OidcIssuer = {
    type: 'OIDC',
    name: 'idp',
    issuerURL: idp.url,
    audiences: ['mcp', 'mcp-too'],
    claims: claimNames,
  };
  return { idp, clock, trusted, verify: (token, other = trusted) => verifier.verify(token, other) };
}

const nowSeconds = (): number => Math.floor(Date.now() / 1_000);
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a user with a token of an OIDC issuer', () => {
  test('is identified by the mapped claims', async () => {
    const { idp, verify } = await world();
    const exp = nowSeconds() + 300;
    const token = await idp.sign('k1', { exp, email: 'alice@example.com', groups: ['dev', 'ops'] });
    expect(await verify(token)).toEqual({
      kind: 'identified',
      subject: { issuer: idp.url, id: 'alice-id', name: 'alice@example.com' },
      groups: ['dev', 'ops'],
      expiresAtMs: exp * 1_000,
    });
  });

  test('is named by the subject when there is no name, and has no groups when there are none', async () => {
    const { idp, verify } = await world();
    expect(await verify(await idp.sign('k1'))).toMatchObject({
      subject: { id: 'alice-id', name: 'alice-id' },
      groups: [],
    });
  });

  test('is identified with any of the algorithms that are trusted', async () => {
    const { idp, verify } = await world();
    for (const alg of ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']) {
      await idp.addKey(`k-${alg}`, alg);
    }
    for (const [index, alg] of ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'].entries()) {
      expect([index, await verify(await idp.sign(`k-${alg}`, {}, { alg }))]).toMatchObject([
        index,
        { kind: 'identified' },
      ]);
    }
  });

  test.each([
    ['at+jwt', 'at+jwt'],
    ['application/at+jwt', 'application/at+jwt'],
    ['JWT', 'JWT'],
    ['no typ', undefined],
  ])('is identified with %s', async (_, typ) => {
    const { idp, verify } = await world();
    expect(await verify(await idp.sign('k1', {}, { typ }))).toMatchObject({ kind: 'identified' });
  });

  test('may name one of several audiences', async () => {
    const { idp, verify } = await world();
    expect(await verify(await idp.sign('k1', { aud: ['other', 'mcp-too'] }))).toMatchObject({ kind: 'identified' });
  });
});

describe('claims that do not hold', () => {
  test.each<[string, Record<string, unknown>, string]>([
    ['another audience', { aud: 'other' }, 'AudienceMismatch'],
    ['several other audiences', { aud: ['other', 'mcp-'] }, 'AudienceMismatch'],
    ['an empty list of audiences', { aud: [] }, 'AudienceMismatch'],
    ['no audience', { aud: undefined }, 'AudienceMismatch'],
    ['another issuer', { iss: 'https://evil.example' }, 'IssuerNotTrusted'],
    ['the issuer with a slash more', { iss: 'https://idp.example/' }, 'IssuerNotTrusted'],
    ['the issuer in capitals', { iss: 'https://IDP.example' }, 'IssuerNotTrusted'],
    ['the issuer in a list', { iss: ['https://idp.example'] }, 'IssuerNotTrusted'],
    ['no issuer', { iss: undefined }, 'IssuerNotTrusted'],
    ['no end', { exp: undefined }, 'ClaimMissing'],
    ['an end that is text', { exp: '9999999999' }, 'ClaimMissing'],
    ['no subject', { sub: undefined }, 'ClaimMissing'],
    ['an empty subject', { sub: '' }, 'ClaimMissing'],
    ['a subject that is a number', { sub: 42 }, 'ClaimMissing'],
    ['a subject that is too long', { sub: 'x'.repeat(257) }, 'ClaimMissing'],
    ['a subject with a line end', { sub: 'alice\nbob' }, 'ClaimMissing'],
    ['an end long ago', { exp: 1 }, 'TokenExpired'],
    ['an end beyond the tolerance', { exp: Math.floor(Date.now() / 1_000) - 65 }, 'TokenExpired'],
    ['a beginning beyond the tolerance', { nbf: Math.floor(Date.now() / 1_000) + 120 }, 'TokenExpired'],
    [
      'what a logout token says',
      { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
      'CredentialMalformed',
    ],
  ])('are refused: %s', async (_, claims, reason) => {
    const { idp, verify } = await world();
    expect(await verify(await idp.sign('k1', claims))).toMatchObject({ kind: 'unauthenticated', reason });
  });

  test.each([
    ['an end within the tolerance', { exp: Math.floor(Date.now() / 1_000) - 50 }],
    ['a beginning within the tolerance', { nbf: Math.floor(Date.now() / 1_000) + 40 }],
  ])('are accepted: %s', async (_, claims) => {
    const { idp, verify } = await world();
    expect(await verify(await idp.sign('k1', claims))).toMatchObject({ kind: 'identified' });
  });

  test('that only a prototype has count as missing', async () => {
    const { idp, verify, trusted } = await world();
    const claims = { subject: 'constructor', groups: 'toString', name: '__proto__' };
    expect(await verify(await idp.sign('k1'), { ...trusted, claims })).toMatchObject({ reason: 'ClaimMissing' });
  });

  test('leave out groups that are no text', async () => {
    const { idp, verify } = await world();
    const groups = ['dev', 1, { admin: true }, 'x'.repeat(300)];
    expect(await verify(await idp.sign('k1', { groups }))).toMatchObject({ groups: ['dev'] });
    expect(await verify(await idp.sign('k1', { groups: { admin: true } }))).toMatchObject({ groups: [] });
  });

  test.each(['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'application/octet-stream', ''])(
    'refuse a token that was made for something else: typ %o',
    async (typ) => {
      const { idp, verify } = await world();
      expect(await verify(await idp.sign('k1', {}, { typ }))).toMatchObject({ reason: 'CredentialMalformed' });
    },
  );
});

describe('forged tokens', () => {
  const claims = (): object => ({ iss: 'https://idp.example', aud: 'mcp', sub: 'alice-id', exp: nowSeconds() + 300 });

  test.each(['none', 'None', 'NONE', 'nOnE', ''])('without signature are refused: alg %o', async (alg) => {
    const { verify } = await world();
    for (const token of [
      `${part({ alg, typ: 'JWT' })}.${part(claims())}.`,
      `${part({ alg, typ: 'JWT', kid: 'k1' })}.${part(claims())}.${randomBytes(64).toString('base64url')}`,
    ]) {
      expect(await verify(token)).toMatchObject({ kind: 'unauthenticated' });
    }
  });

  test('signed by HMAC with the public key as the secret are refused, in every form of that key', async () => {
    const { idp, verify } = await world();
    const jwk = await idp.addKey('rsa', 'RS256');
    const publicKey = await importJWK(jwk, 'RS256', { extractable: true });
    if (publicKey instanceof Uint8Array) throw new Error('not a public key');
    const pem = await exportSPKI(publicKey);
    for (const secret of [pem, pem.trimEnd(), JSON.stringify(jwk), Buffer.from(jwk.n ?? '', 'base64url'), '']) {
      for (const alg of ['HS256', 'HS384', 'HS512']) {
        const head = `${part({ alg, typ: 'JWT', kid: 'rsa' })}.${part(claims())}`;
        const mac = createHmac(`sha${alg.slice(2)}`, secret)
          .update(head)
          .digest('base64url');
        expect(await verify(`${head}.${mac}`)).toMatchObject({ reason: 'SignatureInvalid' });
      }
    }
  });

  test('signed by HMAC are refused even when the issuer publishes the secret', async () => {
    const { idp, verify } = await world();
    const secret = randomBytes(32);
    idp.keySet = { keys: [{ kty: 'oct', k: secret.toString('base64url'), kid: 'oct', alg: 'HS256', use: 'sig' }] };
    const head = `${part({ alg: 'HS256', typ: 'JWT', kid: 'oct' })}.${part(claims())}`;
    const mac = createHmac('sha256', secret).update(head).digest('base64url');
    expect(await verify(`${head}.${mac}`)).toMatchObject({ kind: 'unauthenticated' });
  });

  test('that bring their own key are refused: jwk, jku and x5u of the header are not looked at', async () => {
    const { idp, verify } = await world();
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = publicKey.export({ format: 'jwk' });
    for (const own of [{ jwk }, { jku: 'https://evil.example/jwks' }, { x5u: 'https://evil.example/cert' }]) {
      const head = `${part({ alg: 'ES256', typ: 'JWT', kid: 'k1', ...own })}.${part(claims())}`;
      const signature = sign('sha256', Buffer.from(head), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      expect(await verify(`${head}.${signature.toString('base64url')}`)).toMatchObject({ reason: 'SignatureInvalid' });
    }
    expect(idp.asked.every((url) => url.startsWith(idp.url))).toBe(true);
  });

  test('that swap the payload under a good signature are refused', async () => {
    const { idp, verify } = await world();
    const [header, , signature] = (await idp.sign('k1')).split('.');
    const payload = part({ ...claims(), sub: 'bob-id' });
    expect(await verify(`${header}.${payload}.${signature}`)).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('with a critical extension that we do not know are refused', async () => {
    const { idp, verify } = await world();
    const token = await idp.sign('k1');
    const [, payload, signature] = token.split('.');
    const header = part({ alg: 'ES256', kid: 'k1', typ: 'JWT', crit: ['exp'], exp: 1 });
    expect(await verify(`${header}.${payload}.${signature}`)).toMatchObject({ kind: 'unauthenticated' });
  });

  test('of an issuer that publishes a private key by mistake are refused', async () => {
    const { idp, verify } = await world();
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    idp.keySet = { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'oops', alg: 'ES256' }] };
    const head = `${part({ alg: 'ES256', typ: 'JWT', kid: 'oops' })}.${part(claims())}`;
    const signature = sign('sha256', Buffer.from(head), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    expect(await verify(`${head}.${signature.toString('base64url')}`)).toMatchObject({ reason: 'IssuerUnavailable' });
  });

  test.each(['', '.', '..', 'a.b', 'a.b.c.d', 'not a token', `${part({ alg: 'ES256', kid: 'k1' })}.%%%.x`, '{}.{}.{}'])(
    'that are no tokens are refused: %o',
    async (token) => {
      const { verify } = await world();
      expect(await verify(token)).toMatchObject({ reason: 'CredentialMalformed' });
    },
  );
});

describe('keys of an issuer', () => {
  test('are the ones that the token names: a token of one key under the name of another is refused', async () => {
    const { idp, verify } = await world();
    await idp.addKey('k2');
    const swapped = await idp.sign('k2', {}, { kid: 'k1' });
    expect(await verify(swapped)).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('must be told apart: two under one name, or two that fit a token without name, identify nobody', async () => {
    const { idp, verify } = await world();
    await idp.addKey('k1');
    expect(await verify(await idp.sign('k1'))).toMatchObject({ reason: 'SignatureInvalid' });
    const other = await world();
    await other.idp.addKey('k2');
    expect(await other.verify(await other.idp.sign('k1', {}, { kid: undefined }))).toMatchObject({
      reason: 'SignatureInvalid',
    });
  });

  test('are used with the algorithm that they are for only', async () => {
    const { idp, verify } = await world();
    await idp.addKey('rs', 'RS256');
    const { keys } = idp.keySet as { keys: Record<string, unknown>[] };
    idp.keySet = { keys: keys.map((key) => (key['kid'] === 'rs' ? { ...key, alg: 'PS256' } : key)) };
    expect(await verify(await idp.sign('rs', {}, { alg: 'RS256' }))).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('that are for encryption identify nobody', async () => {
    const { idp, verify } = await world();
    const { keys } = idp.keySet as { keys: Record<string, unknown>[] };
    idp.keySet = { keys: keys.map((key) => ({ ...key, use: 'enc' })) };
    expect(await verify(await idp.sign('k1'))).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('are asked for once, and again after their age', async () => {
    const { idp, clock, verify } = await world();
    const token = await idp.sign('k1');
    await Promise.all([verify(token), verify(token), verify(token)]);
    expect(idp.asked).toEqual([`${idp.url}/.well-known/openid-configuration`, `${idp.url}/jwks`]);
    clock.nowMs = identityLimits.keySetAgeMsMax + 1;
    await verify(token);
    expect(idp.asked).toHaveLength(4);
  });

  test('change: a new one is found by its name at once, even right after the keys were asked for, and an old one stops', async () => {
    const { idp, clock, verify } = await world();
    const old = await idp.sign('k1');
    expect(await verify(old)).toMatchObject({ kind: 'identified' });
    await idp.addKey('k2', 'ES256', { instead: true });
    const fresh = await idp.sign('k2');
    clock.nowMs = 1;
    expect(await verify(fresh)).toMatchObject({ kind: 'identified' });
    expect(await verify(old)).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('are asked for a few times and then once in the cooldown, however many unknown names are shown', async () => {
    const { idp, clock, verify } = await world();
    await verify(await idp.sign('k1'));
    const before = idp.asked.length;
    for (let i = 0; i < identityLimits.unknownKeyAsksMax + 20; i += 1) {
      clock.nowMs += 1;
      await verify(await idp.sign('k1', {}, { kid: `early-${i}` }));
    }
    expect(idp.asked.length - before).toBe(2);
    for (let i = 0; i < 20; i += 1) {
      clock.nowMs += identityLimits.unknownKeySpacingMs;
      await verify(await idp.sign('k1', {}, { kid: `spaced-${i}` }));
    }
    expect(idp.asked.length - before).toBe(2 * identityLimits.unknownKeyAsksMax);
    clock.nowMs += identityLimits.keySetCooldownMs;
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, i) => idp.sign('k1', {}, { kid: `unknown-${i}` })));
    const results = await Promise.all(tokens.map((token) => verify(token)));
    expect(results.every((result) => result.kind === 'unauthenticated')).toBe(true);
    for (const token of tokens) await verify(token);
    expect(idp.asked.length - before).toBe(2 * identityLimits.unknownKeyAsksMax + 2);
  });
});

describe('tokens with made-up key names', () => {
  test('wait for an issuer that does not answer in small numbers only, and never hold up a token with a known one', async () => {
    const idp = new FakeIssuer();
    await idp.addKey('k1');
    const clock = { nowMs: 0 };
    let gate: Promise<unknown> = Promise.resolve();
    const http = {
      ...idp.http,
      fetchJson: (url: string, max: number) => gate.then(() => idp.http.fetchJson(url, max)),
    };
    const verifier = new OidcVerifier({
      now: () => new Date(),
      monotonicMs: () => clock.nowMs,
      createHttp: () => http,
    });
    const trusted = { type: 'OIDC', name: 'idp', issuerURL: idp.url, audiences: ['mcp'], claims: claimNames } as const;
    await verifier.verify(await idp.sign('k1'), trusted);
    clock.nowMs = identityLimits.keySetCooldownMs;
    const hanging = Promise.withResolvers<void>();
    gate = hanging.promise;
    const unknown = await Promise.all(
      Array.from({ length: identityLimits.unknownKeyWaitsMax + 20 }, (_, i) =>
        idp.sign('k1', {}, { kid: `unknown-${i}` }),
      ),
    );
    let settled = 0;
    const all = unknown.map((token) =>
      verifier.verify(token, trusted).then((result) => {
        settled += 1;
        return result.kind === 'unauthenticated' ? result.reason : result.kind;
      }),
    );
    await expect.poll(() => settled).toBe(20);
    expect(await verifier.verify(await idp.sign('k1', { sub: 'fresh' }), trusted)).toMatchObject({
      kind: 'identified',
    });
    hanging.resolve();
    const reasons = await Promise.all(all);
    expect(reasons.filter((reason) => reason === 'IssuerUnavailable')).toHaveLength(20);
    expect(reasons.filter((reason) => reason === 'SignatureInvalid')).toHaveLength(identityLimits.unknownKeyWaitsMax);
  });
});

describe('a token that was verified a moment ago', () => {
  async function timedWorld() {
    const idp = new FakeIssuer();
    await idp.addKey('k1');
    const wall = { nowMs: Date.now() };
    const verifier = new OidcVerifier({
      now: () => new Date(wall.nowMs),
      monotonicMs: () => 0,
      createHttp: () => idp.http,
    });
    const trusted: OidcIssuer = {
      type: 'OIDC',
      name: 'idp',
      issuerURL: idp.url,
      audiences: ['mcp'],
      claims: claimNames,
    };
    return { idp, wall, verifier, trusted };
  }

  test('still ends when it says so', async () => {
    const { idp, wall, verifier, trusted } = await timedWorld();
    const token = await idp.sign('k1', { exp: nowSeconds() + 5 });
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'identified' });
    wall.nowMs += 64_000;
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'identified' });
    wall.nowMs += 2_000;
    expect(await verifier.verify(token, trusted)).toMatchObject({ reason: 'TokenExpired' });
  });

  test('is not good for other audiences or with other claims', async () => {
    const { idp, verifier, trusted } = await timedWorld();
    const token = await idp.sign('k1', { email: 'alice@example.com' });
    expect(await verifier.verify(token, trusted)).toMatchObject({ subject: { id: 'alice-id' } });
    expect(await verifier.verify(token, { ...trusted, audiences: ['other'] })).toMatchObject({
      reason: 'AudienceMismatch',
    });
    const claims = { ...claimNames, subject: 'email' };
    expect(await verifier.verify(token, { ...trusted, claims })).toMatchObject({
      subject: { id: 'alice@example.com' },
    });
  });
});

describe('an issuer that is down', () => {
  test('identifies nobody, and does as soon as it is back', async () => {
    const { idp, clock, verify } = await world();
    const token = await idp.sign('k1');
    idp.isDown = true;
    expect(await verify(token)).toMatchObject({ kind: 'unauthenticated', reason: 'IssuerUnavailable' });
    const asked = idp.asked.length;
    expect(await verify(token)).toMatchObject({ reason: 'IssuerUnavailable' });
    expect(idp.asked.length).toBe(asked);
    idp.isDown = false;
    clock.nowMs = identityLimits.keySetRetryMs;
    expect(await verify(token)).toMatchObject({ kind: 'identified' });
  });

  test('is replaced by the keys at hand, for a bounded time', async () => {
    const { idp, clock, verify } = await world();
    const token = await idp.sign('k1');
    await verify(token);
    idp.isDown = true;
    clock.nowMs = identityLimits.keySetAgeMsMax + 1;
    expect(await verify(token)).toMatchObject({ kind: 'identified' });
    clock.nowMs = identityLimits.keySetStaleMsMax;
    expect(await verify(token)).toMatchObject({ kind: 'identified' });
    clock.nowMs = identityLimits.keySetStaleMsMax + identityLimits.keySetCooldownMs + 1;
    expect(await verify(token)).toMatchObject({ reason: 'IssuerUnavailable' });
  });

  test('cannot vouch for a new key: that is an outage, not a bad signature', async () => {
    const { idp, clock, verify } = await world();
    await verify(await idp.sign('k1'));
    await idp.addKey('k2');
    idp.isDown = true;
    clock.nowMs = identityLimits.keySetCooldownMs;
    expect(await verify(await idp.sign('k2'))).toMatchObject({ reason: 'IssuerUnavailable' });
    expect(await verify(await idp.sign('k1'))).toMatchObject({ kind: 'identified' });
  });

  test.each<[string, unknown, unknown]>([
    ['speaks for another issuer', { issuer: 'https://evil.example', jwks_uri: 'https://idp.example/jwks' }, undefined],
    ['names no keys', { issuer: 'https://idp.example' }, undefined],
    ['is no object', 'hello', undefined],
    ['is null', null, undefined],
    ['has keys that are no list', undefined, { keys: {} }],
    ['has keys that are no objects', undefined, { keys: [1, 2] }],
    ['has too many keys', undefined, { keys: Array.from({ length: 101 }, () => ({ kty: 'EC' })) }],
  ])('is one whose document %s', async (_, document, keySet) => {
    const { idp, verify } = await world();
    const token = await idp.sign('k1');
    if (document !== undefined) idp.document = document;
    if (keySet !== undefined) idp.keySet = keySet;
    expect(await verify(token)).toMatchObject({ kind: 'unauthenticated', reason: 'IssuerUnavailable' });
  });
});

test('two organizations that trust one URL through different CAs do not share its keys', async () => {
  const real = new FakeIssuer();
  await real.addKey('k1');
  const impostor = new FakeIssuer();
  await impostor.addKey('k1');
  const verifier = new OidcVerifier({
    now: () => new Date(),
    monotonicMs: () => 0,
    createHttp: (ca) => (ca === 'ca-of-the-impostor' ? impostor.http : real.http),
  });
  const trusted: OidcIssuer = {
    type: 'OIDC',
    name: 'idp',
    issuerURL: real.url,
    audiences: ['mcp'],
    claims: claimNames,
  };
  const forged = await impostor.sign('k1');
  expect(await verifier.verify(forged, { ...trusted, caBundle: 'ca-of-the-impostor' })).toMatchObject({
    kind: 'identified',
  });
  expect(await verifier.verify(forged, trusted)).toMatchObject({ reason: 'SignatureInvalid' });
});
