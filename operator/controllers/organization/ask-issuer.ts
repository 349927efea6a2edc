import { isJsonObject } from '#contract/fields.ts';
import { identityLimits } from '#operator/identity/identity-limits.ts';
import { createIssuerHttp, type IssuerHttp, IssuerUnavailableError } from '#operator/identity/issuer-http.ts';

import type { OidcIssuer, ProbeResult } from './issuer-prober.ts';

/** Reads discovery document and keys, as verifying a token would. Never rejects. */
export async function askIssuer(issuer: OidcIssuer): Promise<ProbeResult> {
  const http = createIssuerHttp(issuer.caBundle);
  try {
    return await ask(http, issuer.issuerURL);
  } catch (error) {
    return failed(error instanceof IssuerUnavailableError ? describe(error) : 'the request failed');
  } finally {
    await http.close();
  }
}

async function ask(http: IssuerHttp, issuerURL: string): Promise<ProbeResult> {
  const url = `${issuerURL.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await http.fetchJson(url, identityLimits.discoveryBytesMax);
  const { issuer, jwks_uri: keySetURL } = objectOf(document);
  if (issuer !== issuerURL) {
    const message = 'its discovery document names another issuer; write issuerURL exactly as the document does';
    return { kind: 'unreachable', reason: 'IssuerMismatch', message };
  }
  if (typeof keySetURL !== 'string') return failed('its discovery document names no jwks_uri');
  const { keys } = objectOf(await http.fetchJson(keySetURL, identityLimits.keySetBytesMax));
  return Array.isArray(keys) && keys.length > 0 ? { kind: 'reachable' } : failed('its jwks_uri has no keys');
}

function failed(message: string): ProbeResult {
  return { kind: 'unreachable', reason: 'DiscoveryFailed', message };
}

/** Adds the cause's code: `ECONNREFUSED`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, … say where to look. */
function describe(error: IssuerUnavailableError): string {
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
  const why = error.message.replace(/^The issuer is not available: /, '');
  return code === undefined || !/^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? why : `${why} (${code})`;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isJsonObject(value) ? value : {};
}
