/** Bun's TLS sockets, for servers outside the cluster. */
import type { Buffer } from 'node:buffer';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { Http1Error, otherProtocol } from '../http1/http1-error.ts';
import type { Dial, Socket, SocketListener } from '../http1/socket.ts';

/** One way to get a connection to a server, with TLS on it. */
export interface Way {
  /** `signal`: nobody waits for it any more. */
  readonly open: (secured: SecuredSocket, signal: AbortSignal) => Promise<Bun.Socket<Attempt>>;
}

/** What a connection is to be made with. */
export interface SecuredSocket {
  readonly tls: Bun.TLSOptions;
  readonly data: Attempt;
  readonly socket: Bun.SocketHandler<Attempt>;
}

export interface TlsDialOptions {
  /** Tried in order until one leads to a connection; nothing was sent on those before it. */
  readonly ways: () => Promise<readonly Way[]>;
  /** Whose certificate it has to be: a DNS name or an IP address, without brackets. */
  readonly hostname: string;
  /** PEM of the only authorities that count; absent: the public roots. */
  readonly ca?: string | undefined;
  /** Longest wait for connection and handshake at one address. */
  readonly attemptMsMax: () => number;
}

/** HTTP/1.1 over TLS. Resolves only what has shown a valid certificate for `hostname`: nothing is sent before. */
export function dialTls(options: TlsDialOptions): Dial {
  const tls = tlsOf(options);
  return async (listener) => {
    let refusal: unknown;
    for (const way of await options.ways()) {
      const socket = await connect(way, { options, tls, listener }).catch((error: unknown) => {
        refusal = error;
      });
      if (socket !== undefined) return verified(socket);
      // Who answered and is not the one declared is no reason to ask around.
      if (refusal instanceof Http1Error && refusal.code !== 'ConnectTimeout') throw refusal;
    }
    throw refusal;
  };
}

/** To an address that was checked. */
export function wayTo(address: string, port: number): Way {
  return { open: (secured) => Bun.connect<Attempt>({ hostname: address, port, ...secured }) };
}

/** As on the wire (RFC 7301, 3.1): its length, then the name. */
const alpn = Uint8Array.from([8, ...new TextEncoder().encode('http/1.1')]);

function tlsOf({ hostname, ca }: TlsDialOptions): Bun.TLSOptions {
  // The types know only text and ArrayBuffer.
  const protocols = { ALPNProtocols: alpn.buffer };
  return {
    ...(ca === undefined ? {} : { ca }),
    // An address is no server name (RFC 6066, 3).
    ...(isIP(hostname) === 0 ? { serverName: hostname } : {}),
    rejectUnauthorized: true,
    ...protocols,
  };
}

/** What becomes of one connection. Only a verified one says anything to its listener. */
export interface Attempt {
  readonly hostname: string;
  readonly listener: SocketListener;
  readonly handshaken: PromiseWithResolvers<void>;
  state: 'open' | 'verified' | 'abandoned';
}

interface Connecting {
  readonly options: TlsDialOptions;
  readonly tls: Bun.TLSOptions;
  readonly listener: SocketListener;
}

async function connect(way: Way, { options, tls, listener }: Connecting): Promise<Bun.Socket<Attempt>> {
  const { hostname, attemptMsMax } = options;
  const data: Attempt = { hostname, listener, handshaken: Promise.withResolvers(), state: 'open' };
  const { promise, reject } = data.handshaken;
  const overdue = new AbortController();
  const opening = way.open({ tls, data, socket: toAttempt }, overdue.signal);
  opening.catch(reject);
  const timer = setTimeout(() => {
    data.state = 'abandoned';
    reject(new Http1Error('ConnectTimeout', 'the server accepted no connection in time'));
    overdue.abort();
    // It may come about later; until then there is nothing to end.
    opening.then(
      (late) => late.terminate(),
      () => {},
    );
  }, attemptMsMax());
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
  return opening;
}

/** Shared by all connections. */
const toAttempt: Bun.SocketHandler<Attempt> = {
  handshake(socket, success, error) {
    if (socket.data.state === 'abandoned') return;
    const refusal = refusalOf(socket, success, error);
    if (refusal === undefined) {
      socket.data.state = 'verified';
      return socket.data.handshaken.resolve();
    }
    socket.data.handshaken.reject(refusal);
    socket.terminate();
  },
  data({ data }, bytes: Buffer) {
    if (data.state === 'verified') data.listener.received(bytes);
  },
  drain({ data }) {
    if (data.state === 'verified') data.listener.drained();
  },
  end({ data }) {
    if (data.state === 'verified') data.listener.ended();
  },
  close({ data }, error) {
    if (data.state === 'verified') data.listener.closed(error);
    else data.handshaken.reject(refused('the server closed the connection in the TLS handshake', error));
  },
};

function refusalOf(socket: Bun.Socket<Attempt>, success: boolean, error: Error | null): Http1Error | undefined {
  if (error !== null && noCommonProtocol.test(error.message)) return otherProtocol(error);
  if (!success || error !== null || !socket.authorized) {
    return refused(error === null ? 'the TLS handshake failed' : `the TLS handshake failed: ${error.message}`, error);
  }
  const certificate: PeerCertificate = socket.getPeerCertificate();
  // The library looks at names only where it sent one.
  const mismatch = checkServerIdentity(socket.data.hostname, certificate);
  if (mismatch !== undefined) return refused('the certificate is of another host', mismatch);
  const { alpnProtocol } = socket;
  return alpnProtocol === 'http/1.1' || alpnProtocol === false || alpnProtocol === null ? undefined : otherProtocol();
}

/** The alert of a server that takes none of the protocols that it was offered (RFC 7301, 3.2). */
const noCommonProtocol = /NO_APPLICATION_PROTOCOL/;

function refused(message: string, cause: Error | null | undefined): Http1Error {
  return new Http1Error('ConnectFailed', message, { cause: cause ?? undefined });
}

/** A connection that is closing takes nothing either, and then nobody knows what the server has read: never said to be thrown away. */
function verified(socket: Bun.Socket<Attempt>): Socket {
  return {
    write: (bytes) => Math.max(0, socket.write(bytes)),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    terminate: () => socket.terminate(),
  };
}
