import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, test } from 'vitest';

import { askIssuer } from '#operator/controllers/organization/ask-issuer.ts';
import type { ProbeResult } from '#operator/controllers/organization/issuer-prober.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const certificate = await makeTestCertificate(['localhost']);
let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
});

/** Answers each path with what `pages` has for it; a string goes out as it is. */
async function ask(pages: (url: string) => Record<string, unknown>, caBundle = certificate.ca): Promise<ProbeResult> {
  const serve: RequestListener = (request, response) => {
    const page = pages(url)[request.url ?? ''];
    response.writeHead(page === undefined ? 404 : 200).end(typeof page === 'string' ? page : JSON.stringify(page));
  };
  server = createServer({ cert: certificate.cert, key: certificate.key }, serve);
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  return askIssuer({
    type: 'OIDC',
    name: 'login',
    issuerURL: url,
    audiences: ['mcp'],
    claims: { subject: 'sub', groups: 'groups', name: 'email' },
    caBundle,
  });
}

const discovery = '/.well-known/openid-configuration';
const working = (url: string): Record<string, unknown> => ({
  [discovery]: { issuer: url, jwks_uri: `${url}/keys` },
  '/keys': { keys: [{ kty: 'EC' }] },
});

describe('asking an issuer', () => {
  test('finds it reachable when its document names it and its keys are there', async () => {
    expect(await ask(working)).toEqual({ kind: 'reachable' });
  });

  test.each<[string, (url: string) => Record<string, unknown>, string, RegExp]>([
    ['without a document', () => ({}), 'DiscoveryFailed', /answered 404/],
    ['whose document is no JSON', () => ({ [discovery]: '<html>secret</html>' }), 'DiscoveryFailed', /failed/],
    ['whose document is a list', () => ({ [discovery]: '[]' }), 'IssuerMismatch', /another issuer/],
    [
      'that is another one',
      (url) => ({ [discovery]: { issuer: `${url}/`, jwks_uri: `${url}/keys` } }),
      'IssuerMismatch',
      /exactly as the document/,
    ],
    ['without jwks_uri', (url) => ({ [discovery]: { issuer: url } }), 'DiscoveryFailed', /jwks_uri/],
    [
      'whose keys are not https',
      (url) => ({ [discovery]: { issuer: url, jwks_uri: 'http://169.254.169.254/keys' } }),
      'DiscoveryFailed',
      /not https/,
    ],
    ['without keys', (url) => ({ ...working(url), '/keys': { keys: [] } }), 'DiscoveryFailed', /no keys/],
    [
      'that answers too much',
      (url) => ({ [discovery]: { issuer: url, more: 'x'.repeat(2_000_000) } }),
      'DiscoveryFailed',
      /more than/,
    ],
  ])('%s says so', async (...[, pages, reason, message]) => {
    const result = await ask(pages);
    expect(result).toMatchObject({ kind: 'unreachable', reason, message: expect.stringMatching(message) });
    expect(JSON.stringify(result)).not.toContain('secret');
  });

  test('does not fall back to other roots than the ones given', async () => {
    const stranger = await makeTestCertificate(['localhost']);
    expect(await ask(working, stranger.ca)).toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/\([A-Z_]+\)/),
    });
  });
});
