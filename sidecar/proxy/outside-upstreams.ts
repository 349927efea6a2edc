/** For servers that are not in this pod: verified TLS of our own to those outside the cluster, Bun's `fetch` to its Services. */
import type { Destination } from '../destinations/destination.ts';
import type { Relay } from '../gateway/relay.ts';
import type { RemoteUpstream } from '../gateway/remote.ts';
import type { Backlog } from '../http1/backlog.ts';
import { ConnectionPool, type Waits } from '../http1/connection-pool.ts';
import { Http1Error } from '../http1/http1-error.ts';
import { Fields } from '../http1/fields.ts';
import { chunksOf } from './chunks.ts';
import { dialTls } from './dial-tls.ts';
import { ProxyError } from './errors.ts';
import type { ProxyResponse } from './exchange.ts';
import type { Upstream } from './layers/forward.ts';
import { wholeIfSmall } from './whole-body.ts';

/** The sidecar keeps them for 120 s. */
const relayIdleSeconds = 60;

/** What every call of ours has in common: no proxy of the environment, no redirect, no limit that is not ours, raw bytes. */
const plain = { redirect: 'manual', proxy: false, timeout: false, decompress: false } as const;

export interface RemoteUpstreamOptions {
  readonly destination: Destination;
  readonly waits: () => Waits;
  readonly backlog: Backlog;
  readonly nowMs: () => number;
  /** For the log. */
  readonly failed: (error: unknown) => void;
}

/** Longest wait for connection and TLS handshake at one address. */
const attemptMsMax = 4_000;
/** Shorter than servers and load balancers keep idle connections, so that a request rarely meets one that is just being closed. */
const idleMsMax = 4_000;
/** Requests and open streams at a time, to one server. */
const connectionsMax = 4_096;

/**
 * One declared origin. The connection is made to an address that was checked, and the certificate is verified for the declared host,
 * so a key can reach nobody else.
 */
export function createRemoteUpstream(remote: RemoteUpstream, options: RemoteUpstreamOptions): Upstream {
  const { destination, waits, backlog, nowMs, failed } = options;
  const declared = new URL(remote.url);
  const { host, port } = declared;
  const dial = dialTls({
    addresses: () => destination.addresses(),
    port: port === '' ? 443 : Number(port),
    hostname: bare(declared.hostname),
    ca: remote.ca,
    attemptMsMax: () => Math.min(attemptMsMax, waits().connectMsMax),
  });
  const pool = new ConnectionPool({
    dial,
    host,
    limits: { idleMsMax, connectionsMax },
    waits,
    backlog,
    nowMs,
  });
  return async ({ isEndpoint, path, query, method, headers, body, user: account, signal, repeatable }) => {
    const target = isEndpoint ? `${declared.pathname}${joinQuery(declared.search, query)}` : `${path}${query}`;
    // Refused here for a reason that the user can be told.
    await destination.addresses();
    const request = { method, target, headers, body, account, signal, repeatable };
    const answer = await pool.send(request).catch((error: unknown) => {
      if (isUnconnected(error)) destination.forget();
      if (!signal.aborted) failed(error);
      throw error;
    });
    if (isRedirect(answer.status)) {
      if (!(answer.body instanceof Uint8Array)) answer.body?.cancel();
      throw new ProxyError('UpstreamUnavailable', redirected);
    }
    return answer;
  };
}

const redirected =
  'The MCP server answers with a redirect, which is not followed with a key. Its administrator has to declare the final URL.';

function isUnconnected(error: unknown): boolean {
  return error instanceof Http1Error && (error.code === 'ConnectFailed' || error.code === 'ConnectTimeout');
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

/** Services of the cluster. The body goes on as it comes. */
export function createRelay(): Relay {
  const session = new Bun.FetchSession({ keepAlive: { idleTimeout: relayIdleSeconds } });
  return async ({ url, method, headers, body, signal }) => {
    const content = body === undefined ? {} : { body };
    return proxied(await session.fetch(url, { ...plain, method, headers: [...headers], signal, ...content }));
  };
}

async function proxied({ status, headers: received, body }: Response): Promise<ProxyResponse> {
  const headers = new Fields(received);
  if (body === null) return { status, headers, body: undefined };
  const declaredBytes = Number(headers.get('content-length') ?? 0);
  const chunks = chunksOf(body);
  return { status, headers, body: declaredBytes === 0 ? chunks : await wholeIfSmall(chunks, declaredBytes) };
}
