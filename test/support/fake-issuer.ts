import type { CryptoKey, JWK, JWTPayload } from 'jose';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import type { IssuerHttp } from '#operator/identity/issuer-http.ts';
import { IssuerUnavailableError } from '#operator/identity/issuer-http.ts';

/** An OIDC issuer without a network: its keys, what it publishes, and how often it was asked. */
export class FakeIssuer {
  readonly url: string;
  readonly asked: string[] = [];
  /** What is published; tests change it. */
  document: unknown;
  keySet: unknown = { keys: [] };
  isDown = false;
  readonly #keys = new Map<string, CryptoKey>();

  constructor(url = 'https://idp.example') {
    this.url = url;
    this.document = { issuer: url, jwks_uri: `${url}/jwks` };
  }

  get http(): IssuerHttp {
    return {
      fetchJson: (url) => {
        this.asked.push(url);
        if (this.isDown) return Promise.reject(new IssuerUnavailableError('the request failed'));
        return Promise.resolve(structuredClone(url.endsWith('/jwks') ? this.keySet : this.document));
      },
      close: () => Promise.resolve(),
    };
  }

  /** Makes a key and publishes it beside the others, or instead of them. */
  async addKey(kid: string, alg = 'ES256', options: { readonly instead?: boolean } = {}): Promise<JWK> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    this.#keys.set(kid, privateKey);
    const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
    const { keys } = this.keySet as { keys: JWK[] };
    this.keySet = { keys: options.instead === true ? [jwk] : [...keys, jwk] };
    return jwk;
  }

  /** A token of this issuer; claims and header may be overridden, `undefined` leaves one out. */
  async sign(
    kid: string,
    claims: JWTPayload = {},
    header: { readonly alg?: string; readonly [name: string]: unknown } = {},
  ): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1_000);
    const payload = { iss: this.url, aud: 'mcp', sub: 'alice-id', iat: nowSeconds, exp: nowSeconds + 300, ...claims };
    const kept = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined));
    const fields = Object.fromEntries(
      Object.entries({ alg: 'ES256', kid, typ: 'JWT', ...header }).filter(([, value]) => value !== undefined),
    );
    const key = this.#keys.get(kid);
    if (key === undefined) throw new Error(`no key ${kid}`);
    return new SignJWT(kept).setProtectedHeader(fields as { alg: string }).sign(key);
  }
}
