import type { JWSHeaderParameters, FlattenedJWSInput, CryptoKey } from 'jose';
import { createLocalJWKSet, errors } from 'jose';

import { isJsonObject } from '#contract/fields.ts';

import { identityLimits } from './identity-limits.ts';
import type { IssuerHttp } from './issuer-http.ts';
import { IssuerUnavailableError } from './issuer-http.ts';
import { TokenBucket } from './token-bucket.ts';

type KeySet = ReturnType<typeof createLocalJWKSet>;

export interface IssuerKeysOptions {
  readonly issuerURL: string;
  readonly http: IssuerHttp;
  readonly monotonicMs: () => number;
}

/**
 * Public keys of one OIDC issuer, found through its discovery document. Unlike jose's remote key set, keys that we hold go on
 * working for a while when the issuer is down, and a failed request counts for the cooldown too.
 */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  #keySet: KeySet | undefined;
  #loadedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #lastFailure: IssuerUnavailableError | undefined;
  #loading: Promise<void> | undefined;
  #version = 0;
  #unknownKeyWaits = 0;
  readonly #unknownKeyAsks: TokenBucket;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    this.#unknownKeyAsks = new TokenBucket({
      tokensMax: identityLimits.unknownKeyAsksMax,
      refillMs: identityLimits.keySetCooldownMs,
      spacingMs: identityLimits.unknownKeySpacingMs,
      monotonicMs: options.monotonicMs,
    });
  }

  /** Changes whenever other keys may be there; undefined while they are too old to be taken without asking again. */
  get version(): number | undefined {
    return this.#ageMs() <= identityLimits.keySetAgeMsMax ? this.#version : undefined;
  }

  /**
   * The one key that the header names. An unknown `kid` asks the issuer again, a few times at once and then once in each cooldown.
   * @throws IssuerUnavailableError when no keys are at hand, or a new one cannot be asked for
   * @throws errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys
   */
  async keyFor(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    const keySet = await this.#current();
    try {
      return await keySet(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      if (this.#mayAskForUnknown()) await this.#loadForUnknown();
      if (this.#lastFailure !== undefined) throw this.#lastFailure;
      if (this.#keySet === undefined || this.#keySet === keySet) throw error;
      return this.#keySet(header, token);
    }
  }

  /** @throws IssuerUnavailableError when as many wait already as may */
  async #loadForUnknown(): Promise<void> {
    if (this.#unknownKeyWaits >= identityLimits.unknownKeyWaitsMax) {
      throw new IssuerUnavailableError('too many tokens wait for other keys of it');
    }
    this.#unknownKeyWaits += 1;
    await this.#load();
    this.#unknownKeyWaits -= 1;
  }

  async #current(): Promise<KeySet> {
    if (this.#ageMs() > identityLimits.keySetAgeMsMax && this.#mayAsk()) {
      await this.#load();
    }
    if (this.#keySet !== undefined && this.#ageMs() <= identityLimits.keySetStaleMsMax) return this.#keySet;
    throw this.#lastFailure ?? new IssuerUnavailableError('its keys are too old');
  }

  #ageMs(): number {
    return this.#options.monotonicMs() - this.#loadedAtMs;
  }

  #mayAsk(): boolean {
    if (this.#loading !== undefined) return true;
    const waitMs = this.#keySet === undefined ? identityLimits.keySetRetryMs : identityLimits.keySetCooldownMs;
    return this.#options.monotonicMs() - this.#triedAtMs >= waitMs;
  }

  /** An issuer that is down is not asked for that more often than for its age. */
  #mayAskForUnknown(): boolean {
    if (this.#loading !== undefined) return true;
    return this.#lastFailure === undefined ? this.#unknownKeyAsks.take() : this.#mayAsk();
  }

  /** Never rejects: what went wrong stays in `#lastFailure`. Concurrent callers share one request. */
  #load(): Promise<void> {
    this.#loading ??= this.#fetchKeySet().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #fetchKeySet(): Promise<void> {
    this.#triedAtMs = this.#options.monotonicMs();
    try {
      this.#keySet = await this.#discover();
      this.#version += 1;
      this.#loadedAtMs = this.#options.monotonicMs();
      this.#lastFailure = undefined;
    } catch (cause) {
      this.#lastFailure =
        cause instanceof IssuerUnavailableError
          ? cause
          : new IssuerUnavailableError('its keys cannot be used', { cause });
    }
  }

  async #discover(): Promise<KeySet> {
    const { issuerURL, http } = this.#options;
    const document = await http.fetchJson(discoveryURL(issuerURL), identityLimits.discoveryBytesMax);
    const keySet = await http.fetchJson(readKeySetURL(document, issuerURL), identityLimits.keySetBytesMax);
    return toKeySet(keySet);
  }
}

/** OpenID Connect Discovery 1.0, 4.1: a terminating slash goes before the well-known path is appended. */
function discoveryURL(issuerURL: string): string {
  return `${issuerURL.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** OpenID Connect Discovery 1.0, 4.3: the document's issuer must be exactly the one asked, or it speaks for somebody else. */
function readKeySetURL(document: unknown, issuerURL: string): string {
  if (!isJsonObject(document)) throw new IssuerUnavailableError('its document is not an object');
  const { issuer, jwks_uri: keySetURL } = document;
  if (issuer !== issuerURL) throw new IssuerUnavailableError('its document names another issuer');
  if (typeof keySetURL !== 'string') throw new IssuerUnavailableError('its document names no keys');
  return keySetURL;
}

function toKeySet(value: unknown): KeySet {
  if (!isJsonObject(value)) throw new IssuerUnavailableError('its keys are not an object');
  const { keys } = value;
  if (!Array.isArray(keys) || keys.length > identityLimits.keySetKeysMax) {
    throw new IssuerUnavailableError('its keys are not a list of a sensible length');
  }
  return createLocalJWKSet({ keys });
}
