/** Bun's `fetch`: with server.ts the only file here that knows the HTTP library. */
import type { BrokerFetch } from '../leases/broker-client.ts';
import type { FileSource } from '../leases/file-source.ts';
import { chunksOf } from './chunks.ts';
import type { ProxyResponse } from './exchange.ts';
import type { Upstream } from './layers/forward.ts';
import { wholeIfSmall } from './whole-body.ts';

/** Shorter than servers keep idle connections (5 s in Node), so that a request rarely meets one that is just being closed. */
const upstreamIdleSeconds = 1;
const brokerIdleSeconds = 60;

/** What every call of ours has in common: no proxy of the environment, no redirect, no limit that is not ours, raw bytes. */
const plain = { redirect: 'manual', proxy: false, timeout: false, decompress: false } as const;

export interface UpstreamOptions {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly path: string;
}

/** The MCP server's container. Connections are pooled; a POST is never sent twice. */
export function createUpstream({ origin, path }: UpstreamOptions): Upstream {
  const session = new Bun.FetchSession({ keepAlive: { idleTimeout: upstreamIdleSeconds } });
  const url = `${origin}${path}`;
  return async ({ method, query, headers, body, signal }) => {
    // Otherwise the library writes its own name.
    if (!headers.has('user-agent')) headers.set('user-agent', 'mcp-keyring');
    const content = body === undefined ? {} : { body };
    const response = await session.fetch(`${url}${query}`, { ...plain, method, headers, signal, ...content });
    return { status: response.status, headers: response.headers, body: await bodyOf(response) };
  };
}

async function bodyOf({ body, headers }: Response): Promise<ProxyResponse['body']> {
  const declaredBytes = Number(headers.get('content-length') ?? 0);
  if (body === null) return undefined;
  return declaredBytes === 0 ? chunksOf(body) : wholeIfSmall(chunksOf(body), declaredBytes);
}

/** The broker, verified with the given CA and no other. A renewed CA file begins a new pool. */
export function createBrokerFetch(options: { readonly origin: string; readonly ca: FileSource }): BrokerFetch {
  let pool: { readonly ca: string; readonly session: Bun.FetchSession } | undefined;
  return async (path, init) => {
    const ca = await options.ca.read();
    if (pool?.ca !== ca) {
      pool?.session.close();
      const session = new Bun.FetchSession({ tls: { ca }, keepAlive: { idleTimeout: brokerIdleSeconds } });
      pool = { ca, session };
    }
    return pool.session.fetch(`${options.origin}${path}`, { ...plain, ...init });
  };
}
