/** For servers that are not in this pod: verified TLS to those outside the cluster, TCP to its Services. */
import type { Destination } from '../destinations/destination.ts';
import { checkProxiedHost } from '../destinations/proxied-host.ts';
import type { Relay } from '../gateway/relay.ts';
import type { RemoteUpstream } from '../gateway/remote.ts';
import type { Backlog } from '../http1/backlog.ts';
import { ConnectionPool, type Waits } from '../http1/connection-pool.ts';
import { Http1Error } from '../http1/http1-error.ts';
import { dialTls, type Way, wayTo } from './dial-tls.ts';
import { dialTo } from './upstream.ts';
import { ProxyError } from './errors.ts';
import { type ForwardProxy, wayThrough } from './forward-proxy.ts';
import type { Upstream } from './layers/forward.ts';

/** The sidecar keeps them for 120 s. */
const relayIdleMsMax = 60_000;

/** How the declared host is reached. */
export interface Route {
  /** Never empty. @throws ProxyError where no key may go */
  ways(): Promise<readonly Way[]>;
  /** Longest wait for connection and TLS handshake on one of them. */
  readonly wayMsMax: number;
  /** None of them led anywhere. */
  forget(): void;
}

/** To the addresses that the host has, each of which was checked. */
export function directRoute(destination: Destination, declared: URL): Route {
  return {
    ways: async () => (await destination.addresses()).map((address) => wayTo(address, portOf(declared))),
    wayMsMax: addressMsMax,
    forget: () => destination.forget(),
  };
}

/** Through a forward proxy, which looks the host up. */
export function proxiedRoute(proxy: ForwardProxy, remote: RemoteUpstream): Route {
  const declared = new URL(remote.url);
  const ways = [wayThrough(proxy, `${declared.hostname}:${portOf(declared)}`)];
  return {
    async ways() {
      checkProxiedHost(declared.hostname, remote.allowPrivateAddresses);
      return ways;
    },
    // There is no other.
    wayMsMax: Infinity,
    forget() {},
  };
}

export interface RemoteUpstreamOptions {
  readonly route: Route;
  readonly waits: () => Waits;
  readonly backlog: Backlog;
  readonly nowMs: () => number;
  /** For the log. */
  readonly failed: (error: unknown) => void;
}

/** Leaves time for another address. */
const addressMsMax = 4_000;
/** Shorter than servers and load balancers keep idle connections, so that a request rarely meets one that is just being closed. */
const idleMsMax = 4_000;
/** Requests and open streams at a time, to one server. */
const connectionsMax = 4_096;

/**
 * One declared origin. The connection is made on a way that was checked, and the certificate is verified for the declared host, so a key
 * can reach nobody else.
 */
export function createRemoteUpstream(remote: RemoteUpstream, options: RemoteUpstreamOptions): Upstream {
  const { route, waits, backlog, nowMs, failed } = options;
  const declared = new URL(remote.url);
  const { host } = declared;
  const dial = dialTls({
    ways: () => route.ways(),
    hostname: bare(declared.hostname),
    ca: remote.ca,
    attemptMsMax: () => Math.min(route.wayMsMax, waits().connectMsMax),
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
    await route.ways();
    const request = { method, target, headers, body, account, signal, repeatable };
    const answer = await pool.send(request).catch((error: unknown) => {
      if (isUnconnected(error)) route.forget();
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

function portOf({ port }: URL): number {
  return port === '' ? 443 : Number(port);
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** Services of the cluster. The body goes on as it comes. */
export function createRelay(
  bounds: () => Pick<Waits, 'connectMsMax'>,
  { backlog, nowMs }: Pick<RemoteUpstreamOptions, 'backlog' | 'nowMs'>,
): Relay {
  // The sidecar says when an answer is late, with the id of the request.
  const waits = (): Waits => ({ connectMsMax: bounds().connectMsMax, answerMsMax: undefined });
  let current: { readonly host: string; readonly pool: ConnectionPool } | undefined;
  return async ({ url, method, headers, body, peer: account, signal }) => {
    const { host, hostname, port, pathname, search } = new URL(url);
    if (current?.host !== host) {
      const dial = dialTo(hostname, Number(port === '' ? 80 : port));
      const limits = { idleMsMax: relayIdleMsMax, connectionsMax };
      current = { host, pool: new ConnectionPool({ dial, host, limits, waits, backlog, nowMs }) };
    }
    const repeatable = method !== 'POST';
    const target = pathname + search;
    return current.pool.send({ method, target, headers, body, account, signal, repeatable });
  };
}
