import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { errors, Provider, type Configuration } from 'oidc-provider';
import { Agent, request } from 'undici';

import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';

export const testResource = 'urn:mcp-keyring';

export interface OidcIssuerOptions {
  /** Seconds that access tokens live. */
  readonly tokenSeconds?: number;
}

/** A real OpenID provider in this process, over HTTPS with a CA of its own. Its users are clients that log in by secret. */
export interface TestIssuer extends AsyncDisposable {
  readonly url: string;
  readonly ca: string;
  /** An access token (JWT) of `user`: `alice` or `bob`. */
  token(user: string, resource?: string): Promise<string>;
  /** New signing keys, as after a rotation. The old ones are gone, or with `overlap` still published. */
  rotate(how?: { readonly overlap: true }): void;
  /** Answers nothing any more until `up`. */
  down(): void;
  up(): void;
}

const users = ['alice', 'bob'];
const secret = 'secret-of-a-test-client';

export async function startOidcIssuer(options: OidcIssuerOptions = {}): Promise<TestIssuer> {
  const certificate: TestCertificate = await makeTestCertificate(['localhost']);
  let isDown = false;
  let answer: (request: IncomingMessage, response: ServerResponse) => unknown = () => undefined;
  const server = createServer({ cert: certificate.cert, key: certificate.key }, (request, response) => {
    if (isDown) request.socket.destroy();
    else answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  let keys: readonly SigningKey[] = [];
  const rotate = (how?: { readonly overlap: true }): void => {
    // The first one signs.
    keys = [newSigningKey(), ...(how === undefined ? [] : keys)];
    answer = new Provider(url, configuration(options, keys)).callback();
  };
  rotate();
  const agent = new Agent({ connect: { ca: certificate.ca } });
  return {
    url,
    ca: certificate.ca,
    token: (user, resource = testResource) => askForToken({ url, agent, user, resource }),
    rotate,
    down: () => (isDown = true),
    up: () => (isDown = false),
    [Symbol.asyncDispose]: async () => {
      await agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type SigningKey = ReturnType<typeof newSigningKey>;

function newSigningKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomUUID() };
}

function configuration({ tokenSeconds = 600 }: OidcIssuerOptions, keys: readonly SigningKey[]): Configuration {
  return {
    jwks: { keys: [...keys] },
    cookies: { keys: [randomUUID()] },
    clients: users.map((user) => ({
      client_id: user,
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
    })),
    ttl: { ClientCredentials: tokenSeconds },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => testResource,
        getResourceServerInfo: (_context, resource) => {
          if (!resource.startsWith('urn:')) throw new errors.InvalidTarget();
          return { scope: 'use', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
        },
      },
    },
    extraTokenClaims: (_context, token) => {
      const name = 'clientId' in token ? String(token.clientId) : '';
      return { email: `${name}@example.com`, groups: ['engineering'] };
    },
  };
}

async function askForToken(asked: { url: string; agent: Agent; user: string; resource: string }): Promise<string> {
  const { url, agent, user, resource } = asked;
  const { statusCode, body } = await request(`${url}/token`, {
    dispatcher: agent,
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource }).toString(),
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`no token (${statusCode}): ${text}`);
  return (JSON.parse(text) as { access_token: string }).access_token;
}
