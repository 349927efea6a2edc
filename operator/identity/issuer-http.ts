import { Agent, request } from 'undici';

import { identityLimits } from './identity-limits.ts';

/** The issuer did not answer as an issuer must. The message names no address and nothing that was answered. */
export class IssuerUnavailableError extends Error {
  readonly code = 'ERR_ISSUER_UNAVAILABLE';

  constructor(why: string, options?: ErrorOptions) {
    super(`The issuer is not available: ${why}`, options);
    this.name = 'IssuerUnavailableError';
  }
}

/** Fetches JSON from an issuer. */
export interface IssuerHttp {
  /** @throws IssuerUnavailableError for everything but 200 with JSON of at most `bytesMax` */
  fetchJson(url: string, bytesMax: number): Promise<unknown>;
  close(): Promise<void>;
}

/** HTTPS only, no redirects, nothing but `caBundle` trusted where one is given. */
export function createIssuerHttp(caBundle: string | undefined): IssuerHttp {
  const agent = new Agent({
    connections: 2,
    pipelining: 1,
    maxHeaderSize: identityLimits.issuerHeaderBytesMax,
    headersTimeout: identityLimits.issuerTimeoutMs,
    bodyTimeout: identityLimits.issuerTimeoutMs,
    connect: {
      timeout: identityLimits.issuerTimeoutMs,
      minVersion: 'TLSv1.2',
      ...(caBundle === undefined ? {} : { ca: caBundle }),
    },
  });
  return {
    fetchJson: (url, bytesMax) => fetchJson(agent, url, bytesMax),
    close: () => agent.destroy(),
  };
}

async function fetchJson(agent: Agent, url: string, bytesMax: number): Promise<unknown> {
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') throw new IssuerUnavailableError('it is not https');
  try {
    const { statusCode, body } = await request(url, {
      dispatcher: agent,
      method: 'GET',
      headers: { accept: 'application/json, application/jwk-set+json' },
      signal: AbortSignal.timeout(identityLimits.issuerTimeoutMs),
    });
    if (statusCode !== 200) {
      // Giving a body up is an error of its stream, which would end the process when nobody listens.
      body.on('error', () => undefined).destroy();
      throw new IssuerUnavailableError(`it answered ${statusCode}`);
    }
    return JSON.parse(await readBounded(body, bytesMax));
  } catch (cause) {
    if (cause instanceof IssuerUnavailableError) throw cause;
    throw new IssuerUnavailableError('the request failed', { cause });
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw new IssuerUnavailableError('it answered more than we read');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
