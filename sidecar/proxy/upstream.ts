/** Sockets to the MCP server's container and `fetch` to the broker: with server.ts the only file here that knows Bun's network. */
import type { Backlog } from '../http1/backlog.ts';
import { ConnectionPool, type Waits } from '../http1/connection-pool.ts';
import type { Dial, SocketListener } from '../http1/socket.ts';
import type { BrokerFetch } from '../leases/broker-client.ts';
import type { FileSource } from '../leases/file-source.ts';
import type { Upstream } from './layers/forward.ts';

const brokerIdleSeconds = 60;

/** What every call of ours has in common: no proxy of the environment, no redirect, no limit that is not ours, raw bytes. */
const plain = { redirect: 'manual', proxy: false, timeout: false, decompress: false } as const;

export interface UpstreamOptions {
  /** `http://`, host and port; the host is this pod. */
  readonly origin: string;
  readonly waits: () => Waits;
  readonly backlog: Backlog;
  readonly nowMs: () => number;
}

/** Shorter than servers keep idle connections (5 s in Node, 2 s at the least known), so that a request rarely meets its end. */
const idleMsMax = 1_000;
/** Requests and open streams at a time. */
const connectionsMax = 16_384;

/** The MCP server's container, over pooled connections of our own. */
export function createUpstream({ origin, waits, backlog, nowMs }: UpstreamOptions): Upstream {
  const { hostname, port, host } = new URL(origin);
  const dial = dialTo(hostname.replace(/^\[(.*)\]$/, '$1'), Number(port === '' ? 80 : port));
  const pool = new ConnectionPool({ dial, host, limits: { idleMsMax, connectionsMax }, waits, backlog, nowMs });
  return ({ method, path, query, headers, body, user: account, signal, repeatable }) =>
    pool.send({ method, target: path + query, headers, body, account, signal, repeatable });
}

export function dialTo(hostname: string, port: number): Dial {
  return (listener) =>
    Bun.connect<SocketListener>({ hostname, port, data: listener, allowHalfOpen: true, socket: toListener });
}

/** Shared by all connections; Bun hands each piece over in a buffer of its own. */
const toListener: Bun.SocketHandler<SocketListener> = {
  data: ({ data }, bytes) => data.received(bytes),
  drain: ({ data }) => data.drained(),
  end: ({ data }) => data.ended(),
  close: ({ data }, error) => data.closed(error),
  // Without it, what one connection throws would end the process.
  error: (socket, error) => {
    socket.terminate();
    socket.data.closed(error);
  },
};

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
