import { createHash } from 'node:crypto';

import type { JWTPayload } from 'jose';
import { errors, jwtVerify } from 'jose';

import type { UnauthenticatedReason } from '#contract/lease.ts';

import { unauthenticated } from './identification-results.ts';
import type { Identification, TrustedIssuer } from './identification.ts';
import { identityLimits } from './identity-limits.ts';
import type { IssuerHttp } from './issuer-http.ts';
import { createIssuerHttp, IssuerUnavailableError } from './issuer-http.ts';
import { IssuerKeys } from './issuer-keys.ts';
import { readSubject } from './subject-claims.ts';
import { TokenCache, tokenKey } from './token-cache.ts';

export type OidcIssuer = Extract<TrustedIssuer, { type: 'OIDC' }>;

/** Signatures that a public key checks. Neither `none` nor any HMAC, whatever an issuer may publish. */
export const oidcAlgorithms: readonly string[] = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];

/**
 * `at+jwt` is an access token (RFC 9068), `JWT` anything else signed. An absent `typ` means the same as `JWT`
 * (RFC 7519 section 5.1: optional), and widely used issuers leave it out. Everything else was made for another purpose.
 */
const acceptedTypes: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']);

export interface OidcVerifierOptions {
  /** Wall clock, for `exp` and `nbf`. */
  readonly now: () => Date;
  readonly monotonicMs: () => number;
  /** Replaced in tests. */
  readonly createHttp?: (caBundle: string | undefined) => IssuerHttp;
}

interface KnownIssuer {
  readonly keys: IssuerKeys;
  readonly http: IssuerHttp;
}

/** Good only with the keys that it was verified with. */
interface VerifiedToken {
  readonly result: Identification;
  readonly keysVersion: number;
}

/** Verifies JWTs of OIDC issuers. One instance holds the keys of every issuer, for all organizations. */
export class OidcVerifier {
  readonly #options: OidcVerifierOptions;
  /** By URL and CA: two organizations may trust one URL through different CAs and must not share what they found. */
  readonly #issuers = new Map<string, KnownIssuer>();
  readonly #verified: TokenCache<VerifiedToken>;
  /** A bundle may be long; it is hashed once, not for each token. */
  readonly #caHashes = new Map<string, string>();

  constructor(options: OidcVerifierOptions) {
    this.#options = options;
    this.#verified = new TokenCache({
      entriesMax: identityLimits.verifiedTokensMax,
      ttlMs: identityLimits.verifiedTokenTtlMs,
      monotonicMs: options.monotonicMs,
    });
  }

  async verify(token: string, issuer: OidcIssuer): Promise<Identification> {
    const issuerKey = this.#keyOf(issuer);
    const { keys } = this.#known(issuer, issuerKey);
    const cacheKey = tokenKey(token, [issuerKey, JSON.stringify([issuer.audiences, issuer.claims])]);
    const known = this.#verified.get(cacheKey);
    if (known !== undefined && known.keysVersion === keys.version && this.#isCurrent(known.result)) return known.result;
    const result = await this.#check(token, issuer, keys);
    const keysVersion = keys.version;
    if (result.kind === 'identified' && keysVersion !== undefined)
      this.#verified.set(cacheKey, { result, keysVersion });
    return result;
  }

  /** A token may end while it is known. */
  #isCurrent(result: Identification): boolean {
    if (result.kind !== 'identified' || result.expiresAtMs === undefined) return false;
    return this.#options.now().getTime() < result.expiresAtMs + identityLimits.clockToleranceSeconds * 1_000;
  }

  async #check(token: string, issuer: OidcIssuer, keys: IssuerKeys): Promise<Identification> {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, (header, jws) => keys.keyFor(header, jws), {
        algorithms: [...oidcAlgorithms],
        issuer: issuer.issuerURL,
        audience: [...issuer.audiences],
        requiredClaims: ['exp'],
        clockTolerance: identityLimits.clockToleranceSeconds,
        currentDate: this.#options.now(),
      });
      if (!isBearerType(protectedHeader.typ, payload)) return unauthenticated('CredentialMalformed');
      return identified(payload, issuer);
    } catch (error) {
      return unauthenticated(reasonOf(error));
    }
  }

  async close(): Promise<void> {
    const known = [...this.#issuers.values()];
    this.#issuers.clear();
    await Promise.all(known.map(({ http }) => http.close()));
  }

  #keyOf({ issuerURL, caBundle = '' }: OidcIssuer): string {
    let hash = this.#caHashes.get(caBundle);
    if (hash === undefined) {
      if (this.#caHashes.size >= identityLimits.issuersMax) this.#caHashes.clear();
      hash = createHash('sha256').update(caBundle).digest('base64url');
      this.#caHashes.set(caBundle, hash);
    }
    return `${hash} ${issuerURL}`;
  }

  #known(issuer: OidcIssuer, key: string): KnownIssuer {
    const known = this.#issuers.get(key);
    if (known !== undefined) {
      this.#issuers.delete(key);
      this.#issuers.set(key, known);
      return known;
    }
    return this.#remember(key, issuer);
  }

  #remember(key: string, issuer: OidcIssuer): KnownIssuer {
    const http = (this.#options.createHttp ?? createIssuerHttp)(issuer.caBundle);
    const keys = new IssuerKeys({ issuerURL: issuer.issuerURL, http, monotonicMs: this.#options.monotonicMs });
    this.#issuers.set(key, { keys, http });
    if (this.#issuers.size > identityLimits.issuersMax) this.#forgetOldest();
    return { keys, http };
  }

  #forgetOldest(): void {
    for (const [key, { http }] of this.#issuers) {
      this.#issuers.delete(key);
      void http.close().catch(() => undefined);
      return;
    }
  }
}

/** A logout token (OpenID Connect Back-Channel Logout 1.0, 2.4) is signed by the issuer but lets nobody in: it has `events`. */
function isBearerType(typ: string | undefined, payload: JWTPayload): boolean {
  if (Object.hasOwn(payload, 'events')) return false;
  return typ === undefined || acceptedTypes.has(typ.toLowerCase());
}

function identified(payload: JWTPayload, issuer: OidcIssuer): Identification {
  const claims = readSubject(payload, issuer.claims);
  if (claims === undefined || payload.exp === undefined) return unauthenticated('ClaimMissing');
  return {
    kind: 'identified',
    subject: { issuer: issuer.issuerURL, id: claims.id, name: claims.name },
    groups: claims.groups,
    expiresAtMs: payload.exp * 1_000,
  };
}

/** What each way to fail means for the person. What is not in the table is our own defect and goes on as an error. */
const reasonByCode: Readonly<Record<string, UnauthenticatedReason>> = {
  ERR_JWT_EXPIRED: 'TokenExpired',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'SignatureInvalid',
  ERR_JWKS_NO_MATCHING_KEY: 'SignatureInvalid',
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: 'SignatureInvalid',
  ERR_JOSE_ALG_NOT_ALLOWED: 'SignatureInvalid',
  ERR_JOSE_NOT_SUPPORTED: 'SignatureInvalid',
  ERR_JWS_INVALID: 'CredentialMalformed',
  ERR_JWT_INVALID: 'CredentialMalformed',
  ERR_JWK_INVALID: 'IssuerUnavailable',
  ERR_JWKS_INVALID: 'IssuerUnavailable',
};

const reasonByClaim: Readonly<Record<string, UnauthenticatedReason>> = {
  aud: 'AudienceMismatch',
  iss: 'IssuerNotTrusted',
  nbf: 'TokenExpired',
};

function reasonOf(error: unknown): UnauthenticatedReason {
  if (error instanceof IssuerUnavailableError) return 'IssuerUnavailable';
  if (error instanceof errors.JWTClaimValidationFailed) return reasonByClaim[error.claim] ?? 'ClaimMissing';
  if (error instanceof errors.JOSEError && Object.hasOwn(reasonByCode, error.code)) {
    const reason = reasonByCode[error.code];
    if (reason !== undefined) return reason;
  }
  throw error;
}
