/** Bun's sockets through a forward proxy (CONNECT, RFC 9110, 9.3.6): TLS begins behind it, with the server. */
import { Buffer } from 'node:buffer';
import { HeadCollector } from '../http1/head-collector.ts';
import { Http1Error } from '../http1/http1-error.ts';
import { parseResponseHead } from '../http1/response-head.ts';
import type { Way } from './dial-tls.ts';

export interface ForwardProxy {
  readonly hostname: string;
  readonly port: number;
  /** `user:password`; absent: it asks for none. */
  readonly credentials?: { read(): Promise<string> } | undefined;
}

/** Largest head of its answer. */
const headBytesMax = 8_192;

/** `authority`: host and port of the server, as the proxy is to look it up. */
export function wayThrough(proxy: ForwardProxy, authority: string): Way {
  return {
    async open({ tls, data, socket }, signal) {
      const asked = connectRequest(authority, await proxy.credentials?.read());
      const tunnel: Tunnel = {
        answered: Promise.withResolvers(),
        head: new HeadCollector(headBytesMax),
        isOpen: false,
      };
      const { hostname, port } = proxy;
      const raw = await Bun.connect<Tunnel>({ hostname, port, data: tunnel, socket: toTunnel }).catch(
        (cause: unknown) => {
          throw failed('the forward proxy accepts no connection', cause);
        },
      );
      signal.addEventListener('abort', () => raw.terminate());
      if (signal.aborted || raw.write(asked) < asked.byteLength) raw.terminate();
      await tunnel.answered.promise;
      const [, secured] = raw.upgradeTLS({ tls, data, socket });
      return secured;
    },
  };
}

/** A connection to the proxy until it has said yes. Behind that, what comes is the server's, and read above. */
interface Tunnel {
  readonly answered: PromiseWithResolvers<void>;
  readonly head: HeadCollector;
  isOpen: boolean;
}

const toTunnel: Bun.SocketHandler<Tunnel> = {
  data(socket, bytes: Buffer) {
    if (socket.data.isOpen) return;
    try {
      const found = socket.data.head.take(bytes);
      if (found === undefined) return;
      refuseUnlessOpen(found.text, found.rest);
      socket.data.isOpen = true;
      socket.data.answered.resolve();
    } catch (error) {
      socket.data.answered.reject(isOurs(error) ? error : failed('the forward proxy is not understood', error));
      socket.terminate();
    }
  },
  close: ({ data }) => data.answered.reject(failed('the forward proxy closed the connection')),
  end: (socket) => {
    if (!socket.data.isOpen) socket.terminate();
  },
  error: ({ data }, error) => data.answered.reject(failed('the connection to the forward proxy was lost', error)),
};

/** A TLS server says nothing before it is spoken to. */
function refuseUnlessOpen(head: string, rest: Buffer): void {
  const { status } = parseResponseHead(head);
  if (status < 200 || status >= 300) throw failed(`the forward proxy answered ${status}`);
  if (rest.byteLength > 0) throw failed('the forward proxy said more than that the way is open');
}

function connectRequest(authority: string, credentials: string | undefined): Buffer {
  const authorization =
    credentials === undefined ? '' : `proxy-authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
  return Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${authorization}\r\n`, 'latin1');
}

function isOurs(error: unknown): boolean {
  return error instanceof Http1Error && error.code === 'ProxyFailed';
}

function failed(message: string, cause?: unknown): Http1Error {
  return new Http1Error('ProxyFailed', message, { cause });
}
