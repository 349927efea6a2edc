/**
 * The demo's identity provider: `oidc-provider` with a few accounts and one public client. Access tokens are JWTs for the resource
 * `urn:mcp-keyring`. Its login page takes any password: it is for demo and tests only.
 * Usage: identity-provider.ts <issuer URL> <certificate file> <key file> [port]
 */
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { errors, Provider, type Configuration } from 'oidc-provider';

const [issuer = '', certFile = '', keyFile = '', port = '8443'] = process.argv.slice(2);
const defaultResource = 'urn:mcp-keyring';
const resources = new Set([defaultResource, 'urn:somebody-else']);
/** The account whose tokens end after a second, for those who want to see an expired one. */
const shortLivedAccount = 'erin';
const accounts = new Map([
  ['alice', { name: 'Alice', groups: ['engineering'] }],
  ['bob', { name: 'Bob', groups: ['engineering'] }],
  ['carol', { name: 'Carol', groups: ['support'] }],
  ['dave', { name: 'Dave', groups: ['support'] }],
  [shortLivedAccount, { name: 'Erin', groups: ['support'] }],
]);

/** A signing key of this process alone; oidc-provider's built-in development key is known to everybody. */
function signingKey(): object {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomUUID() };
}

const configuration: Configuration = {
  jwks: { keys: [signingKey()] },
  cookies: { keys: [randomUUID()] },
  clients: [
    {
      client_id: 'mcp-demo',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1:8976/callback'],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => defaultResource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => {
        if (!resources.has(resource)) throw new errors.InvalidTarget();
        return {
          scope: 'openid',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
  ttl: {
    AccessToken: (_context, token) => ('accountId' in token && token.accountId === shortLivedAccount ? 1 : 3600),
  },
  extraTokenClaims: (_context, token) => {
    const id = 'accountId' in token ? token.accountId : undefined;
    return id === undefined ? undefined : { ...accounts.get(id), preferred_username: id };
  },
  findAccount: (_context, id) =>
    accounts.has(id) ? { accountId: id, claims: () => ({ sub: id, ...accounts.get(id) }) } : undefined,
};

const provider = new Provider(issuer, configuration);
provider.proxy = false;
createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, provider.callback()).listen(
  Number(port),
  () => console.log(`identity provider ${issuer} on ${port}`),
);

process.on('SIGTERM', () => process.exit(0));
