/** Sockets that clients connect to, and `Bun.serve` for probes: with upstream.ts the only file here that knows Bun's network. */
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '../health.ts';
import { writeAnswerHead } from '../http1/answer-head.ts';
import type { OwnedAnswer } from '../http1/client-answer.ts';
import type { Backlog } from '../http1/backlog.ts';
import {
  ClientConnection,
  type ClientConnectionOwner,
  type ConnectionTimes,
  type ReceivedRequest,
} from '../http1/client-connection.ts';
import { type ConnectionLimits, ConnectionPlaces } from './connection-places.ts';
import type { IngressObserver } from './ingress-observer.ts';
import { peerOf } from './peer.ts';
import type { Drain } from './drain.ts';
import type { Handler, IncomingRequest } from './exchange.ts';
import { Fields } from '../http1/fields.ts';
import type { AcceptedSocket, SocketListener } from '../http1/socket.ts';
import { newRecord } from './record.ts';
import { shareOf } from './user-shares.ts';

export interface IngressOptions {
  readonly address: string;
  readonly port: number;
  readonly handler: Handler<IncomingRequest>;
  readonly drain: Drain;
  readonly backlog: Backlog;
  readonly limits: ConnectionLimits;
  readonly nowMs: () => number;
  readonly observer: IngressObserver;
  readonly reportUnexpected: (error: unknown) => void;
}

export interface RunningServer {
  readonly port: number;
}

export interface IngressServer extends RunningServer {
  /** Accepts nothing more; resolves when the requests under way have ended. */
  stop(): Promise<void>;
  /** Cuts every connection; resolves when the requests under way have ended, as cut ones do. */
  close(): Promise<void>;
}

const times: ConnectionTimes = {
  // Longer than load balancers keep theirs.
  idleMsMax: 120_000,
  headMsMax: 12_000,
  // A computer that sleeps comes back with a new connection.
  stallMsMax: 120_000,
  // The kernel may still have a large answer for a slow client.
  lingerMsMax: 30_000,
};

/** How often connections that wait are looked at. */
const checkMs = 1_000;

export function serveIngress(options: IngressOptions): IngressServer {
  const ingress = new Ingress(options);
  const listener = onAddress(options.address, (hostname) =>
    Bun.listen<SocketListener>({
      hostname,
      port: options.port,
      allowHalfOpen: true,
      socket: {
        open: (socket) => {
          socket.data = ingress.open(socket, peerOf(socket.remoteAddress)) ?? nobody;
          if (socket.data === nobody) socket.end(ingress.noPlace());
        },
        data: ({ data }, bytes) => data.received(bytes),
        drain: ({ data }) => data.drained(),
        end: ({ data }) => data.ended(),
        close: ({ data }, error) => data.closed(error),
        // Without it, what one connection throws would end the process, and all others with it.
        error: (socket, error) => {
          options.reportUnexpected(error);
          socket.terminate();
        },
      },
    }),
  );
  return {
    port: listener.port,
    stop: async () => {
      listener.stop(false);
      await ingress.retire();
    },
    close: async () => {
      listener.stop(false);
      await ingress.close();
    },
  };
}

/** Listens for a connection that is not served. */
const nobody: SocketListener = { received() {}, drained() {}, ended() {}, closed() {} };

/** All connections of clients. */
class Ingress implements ClientConnectionOwner {
  readonly #options: IngressOptions;
  readonly #connections: ConnectionPlaces<ClientConnection>;
  readonly #inFlight = new InFlight();
  readonly #checking: ReturnType<typeof setInterval>;
  #isRetired = false;
  #date = { atMs: Number.NEGATIVE_INFINITY, text: '' };

  constructor(options: IngressOptions) {
    this.#options = options;
    this.#connections = new ConnectionPlaces(options.limits);
    this.#checking = setInterval(() => this.#check(), checkMs);
    this.#checking.unref();
  }

  get backlog(): Backlog {
    return this.#options.backlog;
  }

  /** `undefined` where there is no place for it. */
  open(socket: AcceptedSocket, peer: string): ClientConnection | undefined {
    const { observer } = this.#options;
    const place = this.#connections.placeFor(peer);
    switch (place.kind) {
      case 'none':
        observer.connectionCut('refused');
        return undefined;
      case 'instead':
        observer.connectionCut('displaced');
        place.of.terminate();
        break;
      case 'free':
    }
    const connection = new ClientConnection(this, socket, peer);
    this.#connections.add(connection);
    if (this.#isRetired) connection.retire();
    return connection;
  }

  /** What a connection gets that has no place. */
  noPlace(): string {
    const headers = new Fields({ 'retry-after': '1' });
    const framing = { kind: 'length', bytes: 0 } as const;
    return writeAnswerHead({ status: 503, headers, framing, keptAlive: false, date: this.date() });
  }

  async answer({ head, body, peer, signal }: ReceivedRequest): Promise<OwnedAnswer> {
    const { handler, drain, reportUnexpected } = this.#options;
    const { method, path, query, headers } = head;
    const record = newRecord(method, { startedMs: this.nowMs(), at: new Date() });
    record.whenEnded.push(this.#inFlight.begin());
    try {
      const answer = await handler({ method, path, query, headers, body, peer, signal, record });
      if (drain.begun) answer.headers.set('connection', 'close');
      return { ...answer, account: record.subject === undefined ? undefined : shareOf(record.subject) };
    } catch (error) {
      reportUnexpected(error);
      return { status: 500, headers: new Fields({ connection: 'close' }), body: undefined };
    }
  }

  refused(status: number): void {
    this.#options.observer.unreadable(status);
  }

  cut(): void {
    this.#options.observer.connectionCut('tooSlow');
  }

  gone(connection: ClientConnection): void {
    this.#connections.delete(connection);
    if (this.#isRetired && this.#connections.size === 0) clearInterval(this.#checking);
  }

  nowMs(): number {
    return this.#options.nowMs();
  }

  date(): string {
    const nowMs = this.nowMs();
    if (nowMs - this.#date.atMs >= 1_000) this.#date = { atMs: nowMs, text: new Date().toUTCString() };
    return this.#date.text;
  }

  /** No connection gets another request; resolves when the requests under way have ended. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    for (const connection of this.#connections) connection.retire();
    await this.#inFlight.none();
  }

  async close(): Promise<void> {
    this.#isRetired = true;
    for (const connection of this.#connections) connection.terminate();
    await this.#inFlight.none();
  }

  #check(): void {
    const nowMs = this.nowMs();
    for (const connection of this.#connections) connection.check(times, nowMs);
  }
}

/** `::` serves IPv4 as well; a kernel without IPv6 does not know it. */
function onAddress<T>(address: string, listen: (hostname: string) => T): T {
  try {
    return listen(address);
  } catch (error) {
    if (address !== '::' || hasIpv6()) throw error;
    return listen('0.0.0.0');
  }
}

/** Where it is, `::` can be listened at unless somebody does: on IPv4 alone, they would get what clients send over IPv6. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ family }) => family === 'IPv6'));
}

/** Requests that have not ended, as their records tell it: that is when their audit events exist. */
class InFlight {
  #requests = 0;
  #waiting: (() => void)[] = [];
  readonly #end = (): void => {
    this.#requests -= 1;
    if (this.#requests > 0) return;
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
  };

  begin(): () => void {
    this.#requests += 1;
    return this.#end;
  }

  async none(): Promise<void> {
    if (this.#requests > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** A port for probes or metrics. */
export function serveEndpoints(options: {
  readonly address: string;
  readonly port: number;
  readonly answer: (path: string) => Endpoint;
}): RunningServer {
  const server = onAddress(options.address, (hostname) =>
    Bun.serve({
      hostname,
      port: options.port,
      development: false,
      fetch(request) {
        const { status, contentType, body } = options.answer(new URL(request.url).pathname);
        return new Response(body, { status, headers: { 'content-type': contentType } });
      },
    }),
  );
  return { port: server.port ?? 0 };
}
