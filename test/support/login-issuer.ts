import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import { Provider, type Configuration } from 'oidc-provider';

import { makeTestCertificate } from '#test/support/test-certificates.ts';

/** A real OpenID provider at which people log in, and clients register themselves. */
export interface LoginIssuer extends AsyncDisposable {
  readonly url: string;
  readonly ca: string;
  /** The resources (RFC 8707) that tokens were asked for. */
  readonly resources: readonly string[];
}

/** Its access tokens are JWTs whose audience is the resource that they were asked for. */
export async function startLoginIssuer(): Promise<LoginIssuer> {
  const certificate = await makeTestCertificate(['localhost']);
  const resources: string[] = [];
  let answer: ReturnType<Provider['callback']> | undefined;
  const server = createServer({ cert: certificate.cert, key: certificate.key }, (request, response) => {
    void answer?.(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  answer = new Provider(url, configuration(resources)).callback();
  return {
    url,
    ca: certificate.ca,
    resources,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function configuration(resources: string[]): Configuration {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomUUID() }] },
    cookies: { keys: [randomUUID()] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => {
          resources.push(resource);
          return {
            scope: 'openid offline_access',
            audience: resource,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
    extraTokenClaims: (_context, token) => {
      const id = 'accountId' in token ? token.accountId : '';
      return { email: `${id}@example.com` };
    },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com` }) }),
  };
}
