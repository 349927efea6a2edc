/** Bun's `fetch`, for servers that are not in this pod: with server.ts and upstream.ts the only files here that know the HTTP library. */
import { isIP } from 'node:net';
import type { Destination } from '../destinations/destination.ts';
import type { Relay } from '../gateway/relay.ts';
import type { RemoteUpstream } from '../gateway/remote.ts';
import { chunksOf } from './chunks.ts';
import { ProxyError } from './errors.ts';
import type { ProxyResponse } from './exchange.ts';
import type { Upstream, UpstreamRequest } from './layers/forward.ts';
import { wholeIfSmall } from './whole-body.ts';

/** Shorter than servers and load balancers keep idle connections, so that a request rarely meets one that is just being closed. */
const remoteIdleSeconds = 4;
/** The sidecar keeps them for 120 s. */
const relayIdleSeconds = 60;

/** What every call of ours has in common: no proxy of the environment, no redirect, no limit that is not ours, raw bytes. */
const plain = { redirect: 'manual', proxy: false, timeout: false, decompress: false } as const;

export interface RemoteUpstreamOptions {
  readonly destination: Destination;
  /** To the head of an answer; `undefined`: a tool takes as long as it takes. */
  readonly answerMsMax: number | undefined;
  /** For the log. */
  readonly failed: (error: unknown) => void;
}

/**
 * One declared origin. The connection is made to an address that was checked, and the certificate is verified for the declared host,
 * so a key can reach nobody else.
 */
export function createRemoteUpstream(
  remote: RemoteUpstream,
  { destination, answerMsMax, failed }: RemoteUpstreamOptions,
): Upstream {
  const declared = new URL(remote.url);
  const session = new Bun.FetchSession({
    tls: {
      ...(remote.ca === undefined ? {} : { ca: remote.ca }),
      ...(isIP(bare(declared.hostname)) === 0 ? { serverName: declared.hostname } : {}),
      rejectUnauthorized: true,
    },
    keepAlive: { idleTimeout: remoteIdleSeconds },
  });
  const port = declared.port === '' ? '443' : declared.port;
  return async (request) => {
    prepare(request, declared.host);
    const target = request.isEndpoint
      ? `${declared.pathname}${joinQuery(declared.search, request.query)}`
      : `${request.path}${request.query}`;
    const urls = (await destination.addresses()).map((address) => `https://${hostOf(address)}:${port}${target}`);
    const send = (signal: AbortSignal): Promise<Response> => fetchFirst(session, urls, { ...request, signal });
    const response = await untilHead(answerMsMax, request.signal, send).catch((error: unknown) => {
      if (isUnconnected(error)) destination.forget();
      if (!request.signal.aborted) failed(error);
      throw error;
    });
    if (isRedirect(response.status)) {
      await response.body?.cancel();
      throw new ProxyError('UpstreamUnavailable', redirected);
    }
    return proxied(response);
  };
}

const redirected =
  'The MCP server answers with a redirect, which is not followed with a key. Its administrator has to declare the final URL.';

function prepare({ headers }: UpstreamRequest, host: string): void {
  headers.set('host', host);
  // Otherwise the library writes its own name.
  if (!headers.has('user-agent')) headers.set('user-agent', 'mcp-keyring');
}

/** Gives up when there is no head in time; what comes after it takes as long as it takes. */
async function untilHead(
  msMax: number | undefined,
  signal: AbortSignal,
  send: (signal: AbortSignal) => Promise<Response>,
): Promise<Response> {
  if (msMax === undefined) return send(signal);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), msMax);
  try {
    return await send(AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The next address is tried only where no connection came about: then nothing was sent. One that broke off before an answer is tried
 * once more where that cannot repeat an effect.
 */
async function fetchFirst(
  session: Bun.FetchSession,
  urls: readonly string[],
  { method, headers, body, signal, repeatable }: UpstreamRequest,
): Promise<Response> {
  const content = body === undefined ? {} : { body };
  let mayRepeat = repeatable;
  for (let index = 0; ;) {
    try {
      return await session.fetch(urls[index] ?? '', { ...plain, method, headers, signal, ...content });
    } catch (error) {
      if (isUnconnected(error) && index + 1 < urls.length) index += 1;
      else if (mayRepeat && isBroken(error)) mayRepeat = false;
      else throw error;
    }
  }
}

const unconnected: ReadonlySet<unknown> = new Set([
  'ConnectionRefused',
  'FailedToOpenSocket',
  'ECONNREFUSED',
  'ENETUNREACH',
  'EHOSTUNREACH',
]);

function isUnconnected(error: unknown): boolean {
  return error instanceof Error && 'code' in error && unconnected.has(error.code);
}

const broken: ReadonlySet<unknown> = new Set(['ECONNRESET', 'ConnectionClosed', 'EPIPE']);

function isBroken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && broken.has(error.code);
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}

function joinQuery(declared: string, asked: string): string {
  if (declared === '') return asked;
  return asked === '' ? declared : `${declared}&${asked.slice(1)}`;
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function hostOf(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Services of the cluster. The body goes on as it comes. */
export function createRelay(): Relay {
  const session = new Bun.FetchSession({ keepAlive: { idleTimeout: relayIdleSeconds } });
  return async ({ url, method, headers, body, signal }) => {
    const content = body === undefined ? {} : { body };
    return proxied(await session.fetch(url, { ...plain, method, headers, signal, ...content }));
  };
}

async function proxied({ status, headers, body }: Response): Promise<ProxyResponse> {
  if (body === null) return { status, headers, body: undefined };
  const declaredBytes = Number(headers.get('content-length') ?? 0);
  const chunks = chunksOf(body);
  return { status, headers, body: declaredBytes === 0 ? chunks : await wholeIfSmall(chunks, declaredBytes) };
}
