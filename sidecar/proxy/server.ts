/** `Bun.serve`: with upstream.ts the only file here that knows the HTTP library. */
import { networkInterfaces } from 'node:os';
import type { Endpoint } from '../health.ts';
import { streamOf } from './chunks.ts';
import type { Drain } from './drain.ts';
import { type BodySource, type Handler, type IncomingRequest, isChunks, type ProxyResponse } from './exchange.ts';
import { newRecord } from './record.ts';

export interface IngressOptions {
  readonly address: string;
  readonly port: number;
  readonly handler: Handler<IncomingRequest>;
  readonly drain: Drain;
  readonly nowMs: () => number;
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

/** Connections without a request end after this; longer than load balancers keep theirs. Requests have no such limit. */
const idleSeconds = 120;

/** Above what we refuse ourselves with a message. */
const bodyBytesCeiling = Number.MAX_SAFE_INTEGER;

export function serveIngress({ address, port, handler, drain, nowMs }: IngressOptions): IngressServer {
  const inFlight = new InFlight();
  const server = listen(address, {
    port,
    idleTimeout: idleSeconds,
    maxRequestBodySize: bodyBytesCeiling,
    development: false,
    async fetch(request, running) {
      const record = newRecord(request.method, { startedMs: nowMs(), at: new Date() });
      running.timeout(request, 0);
      const ended = inFlight.begin();
      record.whenEnded.push(ended, () => running.timeout(request, idleSeconds));
      const response = await handler(incoming(request, record));
      return outgoing(response, drain.begun);
    },
    error: () => new Response(null, { status: 500 }),
  });
  return {
    port: server.port ?? 0,
    stop: async () => void (await Promise.all([server.stop(false), inFlight.none()])),
    close: async () => void (await Promise.all([server.stop(true), inFlight.none()])),
  };
}

type ServeOptions = Omit<Bun.Serve.HostnamePortServeOptions<undefined>, 'hostname'> & {
  fetch(request: Request, server: Bun.Server<undefined>): Response | Promise<Response>;
  error?: () => Response;
};

/** `::` serves IPv4 as well; a kernel without IPv6 does not know it. */
function listen(address: string, options: ServeOptions): Bun.Server<undefined> {
  try {
    return Bun.serve({ ...options, hostname: address });
  } catch (error) {
    if (address !== '::' || hasIpv6()) throw error;
    return Bun.serve({ ...options, hostname: '0.0.0.0' });
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

  begin(): () => void {
    this.#requests += 1;
    return () => {
      this.#requests -= 1;
      if (this.#requests > 0) return;
      for (const resolve of this.#waiting) resolve();
      this.#waiting = [];
    };
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
  const server = listen(options.address, {
    port: options.port,
    development: false,
    fetch(request) {
      const { status, contentType, body } = options.answer(splitTarget(request.url).path);
      return new Response(body, { status, headers: { 'content-type': contentType } });
    },
  });
  return { port: server.port ?? 0 };
}

function incoming(request: Request, record: IncomingRequest['record']): IncomingRequest {
  const { method, headers, signal } = request;
  return { method, ...splitTarget(request.url), headers, signal, record, body: bodySource(request) };
}

/** Absolute URL, as the library gives it. */
function splitTarget(url: string): { path: string; query: string } {
  const pathAt = url.indexOf('/', url.indexOf('://') + 3);
  const target = pathAt === -1 ? '/' : url.slice(pathAt);
  const queryAt = target.indexOf('?');
  return queryAt === -1
    ? { path: target, query: '' }
    : { path: target.slice(0, queryAt), query: target.slice(queryAt) };
}

function bodySource(request: Request): BodySource {
  const length = request.headers.get('content-length');
  const chunked = request.headers.has('transfer-encoding');
  return {
    declaredBytes: chunked ? undefined : Number(length ?? 0),
    whole: () => request.bytes(),
    stream: () => request.body,
  };
}

/** Statuses that have no body (Fetch standard, "null body status"). */
const bodiless: ReadonlySet<number> = new Set([101, 204, 205, 304]);

function outgoing(response: ProxyResponse, draining: boolean): Response {
  const { status, headers } = response;
  if (draining) headers.set('connection', 'close');
  return new Response(bodiless.has(status) ? null : bodyOf(response), { status, headers });
}

function bodyOf({ body }: ProxyResponse): Uint8Array | ReadableStream<Uint8Array> | null {
  return isChunks(body) ? streamOf(body) : (body ?? null);
}
