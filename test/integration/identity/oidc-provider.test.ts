import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, test } from 'vitest';

import { identityLimits } from '#operator/identity/identity-limits.ts';
import { createIssuerHttp } from '#operator/identity/issuer-http.ts';
import type { OidcIssuer } from '#operator/identity/oidc.ts';
import { OidcVerifier } from '#operator/identity/oidc.ts';
import { verifies } from '#test/requirements.ts';
import { startOidcIssuer, testResource, type TestIssuer } from '#test/support/oidc-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const clock = { nowMs: 0 };
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const resource of open.splice(0)) await resource[Symbol.asyncDispose]();
  clock.nowMs = 0;
});

async function setUp(options: Parameters<typeof startOidcIssuer>[0] = {}) {
  const idp = await startOidcIssuer(options);
  open.push(idp);
  const verifier = new OidcVerifier({ now: () => new Date(), monotonicMs: () => clock.nowMs });
  open.push({ [Symbol.asyncDispose]: () => verifier.close() });
  return { idp, verifier, trusted: trustOf(idp) };
}

function trustOf(idp: TestIssuer): OidcIssuer {
  return {
    type: 'OIDC',
    name: 'idp',
    issuerURL: idp.url,
    audiences: [testResource],
    claims: { subject: 'sub', groups: 'groups', name: 'email' },
    caBundle: idp.ca,
  };
}

describe('a real OpenID provider', () => {
  test('vouches for its user with an access token', async () => {
    const { idp, verifier, trusted } = await setUp();
    expect(await verifier.verify(await idp.token('alice'), trusted)).toMatchObject({
      kind: 'identified',
      subject: { issuer: idp.url, id: 'alice', name: 'alice@example.com' },
      groups: ['engineering'],
    });
  });

  test('does not with a token for somebody else', async () => {
    const { idp, verifier, trusted } = await setUp();
    const token = await idp.token('alice', 'urn:somebody-else');
    expect(await verifier.verify(token, trusted)).toMatchObject({ reason: 'AudienceMismatch' });
  });

  test('does not for the users of another provider', async () => {
    const { verifier, trusted } = await setUp();
    const other = await startOidcIssuer();
    open.push(other);
    expect(await verifier.verify(await other.token('alice'), trusted)).toMatchObject({ kind: 'unauthenticated' });
  });

  test('is not believed over a CA that is not its own', async () => {
    const { idp, verifier, trusted } = await setUp();
    const { ca } = await makeTestCertificate(['localhost']);
    const token = await idp.token('alice');
    expect(await verifier.verify(token, { ...trusted, caBundle: ca })).toMatchObject({ reason: 'IssuerUnavailable' });
    const { caBundle: _, ...systemRoots } = trusted;
    expect(await verifier.verify(token, systemRoots)).toMatchObject({ reason: 'IssuerUnavailable' });
  });

  test('may rotate its keys', async () => {
    const { idp, verifier, trusted } = await setUp();
    const old = await idp.token('alice');
    expect(await verifier.verify(old, trusted)).toMatchObject({ kind: 'identified' });
    idp.rotate();
    const fresh = await idp.token('alice');
    expect(await verifier.verify(fresh, trusted)).toMatchObject({ kind: 'identified' });
    expect(await verifier.verify(old, trusted)).toMatchObject({ reason: 'SignatureInvalid' });
  });

  test('may rotate its keys under load, and no token of a key that it publishes is refused', async () => {
    verifies('identity:rotation');
    const { idp, verifier, trusted } = await setUp();
    const tokens = [await idp.token('alice')];
    const stopping = new AbortController();
    const refused: string[] = [];
    let verified = 0;
    const load = async (): Promise<void> => {
      while (!stopping.signal.aborted) {
        for (const token of tokens) {
          const result = await verifier.verify(token, trusted);
          if (result.kind === 'unauthenticated') refused.push(result.reason);
          verified += 1;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const workers = Array.from({ length: 8 }, load);
    for (let rotation = 0; rotation < 3; rotation += 1) {
      clock.nowMs += identityLimits.unknownKeySpacingMs;
      idp.rotate({ overlap: true });
      tokens.push(await idp.token('alice'), await idp.token('bob'));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    stopping.abort();
    await Promise.all(workers);
    expect(refused).toEqual([]);
    expect(verified).toBeGreaterThan(tokens.length * 8);
  });

  test('may be down for a while once its keys are known, and not before', async () => {
    const { idp, verifier, trusted } = await setUp();
    const token = await idp.token('alice');
    idp.down();
    expect(await verifier.verify(token, trusted)).toMatchObject({ reason: 'IssuerUnavailable' });
    idp.up();
    clock.nowMs = identityLimits.keySetRetryMs;
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'identified' });
    idp.down();
    clock.nowMs += identityLimits.keySetAgeMsMax + 1;
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'identified' });
  });

  test('ends a token when it says so', async () => {
    const { idp, verifier, trusted } = await setUp({ tokenSeconds: 1 });
    const token = await idp.token('alice');
    const later = new OidcVerifier({
      now: () => new Date(Date.now() + 1_000 * (identityLimits.clockToleranceSeconds + 5)),
      monotonicMs: () => 0,
    });
    open.push({ [Symbol.asyncDispose]: () => later.close() });
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'identified' });
    expect(await later.verify(token, trusted)).toMatchObject({ reason: 'TokenExpired' });
  });
});

describe('an issuer that answers garbage', () => {
  test.each<[string, string]>([
    ['no keys', '{}'],
    ['keys that are no list', '{"keys":{"length":1}}'],
    ['keys that are no keys', '{"keys":[1,null,"x",{"kty":"?"}]}'],
    ['a list of nothing', '{"keys":[]}'],
    ['more keys than anybody has', JSON.stringify({ keys: Array.from({ length: 200 }, () => ({ kty: 'EC' })) })],
    ['null', 'null'],
  ])('identifies nobody and breaks nothing: %s', async (_, keySet) => {
    verifies('identity:garbage-issuer');
    const { idp, trusted } = await setUp();
    const token = await idp.token('alice');
    const http = {
      fetchJson: (url: string): Promise<unknown> =>
        Promise.resolve(
          url.includes('well-known') ? { issuer: idp.url, jwks_uri: `${idp.url}/k` } : JSON.parse(keySet),
        ),
      close: () => Promise.resolve(),
    };
    const verifier = new OidcVerifier({ now: () => new Date(), monotonicMs: () => 0, createHttp: () => http });
    expect(await verifier.verify(token, trusted)).toMatchObject({ kind: 'unauthenticated' });
  });
});

describe('what is read of an issuer', () => {
  async function serve(answer: (path: string) => { status?: number; headers?: object; body: string | Buffer }) {
    const { ca, cert, key } = await makeTestCertificate(['localhost']);
    const asked: string[] = [];
    const server = createServer({ cert, key }, (request, response) => {
      asked.push(request.url ?? '');
      const { status = 200, headers = {}, body } = answer(request.url ?? '');
      response.writeHead(status, { ...headers });
      response.end(body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const http = createIssuerHttp(ca);
    open.push({
      [Symbol.asyncDispose]: async () => {
        await http.close();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    });
    return { http, asked, url: `https://localhost:${(server.address() as AddressInfo).port}` };
  }

  test('is JSON within the bound', async () => {
    const { http, url } = await serve(() => ({ body: '{"keys":[]}' }));
    expect(await http.fetchJson(`${url}/x`, 11)).toEqual({ keys: [] });
    await expect(http.fetchJson(`${url}/x`, 10)).rejects.toMatchObject({ code: 'ERR_ISSUER_UNAVAILABLE' });
  });

  test.each([
    ['an answer without end', { body: Buffer.alloc(1_000_000, 0x20) }],
    ['an error', { status: 500, body: '{"keys":[]}' }],
    ['an empty answer', { status: 204, body: '' }],
    ['something else than JSON', { body: '<html>' }],
    ['headers that are too long', { headers: { 'x-long': 'x'.repeat(20_000) }, body: '{}' }],
  ])('is refused when it is %s', async (_, answer) => {
    const { http, url } = await serve(() => answer);
    await expect(http.fetchJson(`${url}/x`, 65_536)).rejects.toMatchObject({ code: 'ERR_ISSUER_UNAVAILABLE' });
  });

  test('is not looked for where a redirect points', async () => {
    const { http, url, asked } = await serve((path) =>
      path === '/x' ? { status: 302, headers: { location: '/y' }, body: '' } : { body: '{}' },
    );
    await expect(http.fetchJson(`${url}/x`, 65_536)).rejects.toMatchObject({ code: 'ERR_ISSUER_UNAVAILABLE' });
    expect(asked).toEqual(['/x']);
  });

  test.each(['http://localhost/x', 'file:///etc/passwd', 'not a url'])('is never read from %s', async (url) => {
    const http = createIssuerHttp(undefined);
    await expect(http.fetchJson(url, 10)).rejects.toMatchObject({ code: 'ERR_ISSUER_UNAVAILABLE' });
    await http.close();
  });
});
