import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';

import type { Log } from '#operator/kube/observers.ts';
import { closeWithin, listenOn } from '#operator/serving/listening.ts';

import type { Admission } from './admit.ts';
import { readBody } from './body.ts';
import type { AdmissionMetrics } from './metrics.ts';
import { ReviewError, decodeReview, encodeReview } from './review.ts';
import type { AdmissionRequest } from './review.ts';

/** The API server sends objects of at most 1.5 MiB, twice where an old one goes with them. */
export const bodyBytesMax = 3 * 1024 ** 2;
/** Below the webhook's `timeoutSeconds: 5`: who is slower has been given up on. */
const requestMsMax = 4_000;
/** Longer than the 90 s that Go clients keep an idle connection, so that they never write into one that we just closed. */
const keepAliveMs = 120_000;
const connectionsMax = 512;
const requestsInFlightMax = 256;
const drainMsMax = 10_000;

export interface AdmissionServerOptions {
  readonly admit: (request: AdmissionRequest) => Admission;
  /** PEM. Later ones come through `tls.setSecureContext`. */
  readonly identity: { readonly cert: Buffer; readonly key: Buffer };
  readonly metrics: AdmissionMetrics;
  readonly log: Log;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** The mutating webhook's HTTPS server. Whatever goes wrong, an answer never says more than one of the constant texts below. */
export class AdmissionServer {
  readonly tls: Server;
  readonly #options: AdmissionServerOptions;
  #inFlight = 0;

  constructor(options: AdmissionServerOptions) {
    this.#options = options;
    this.tls = createServer(
      {
        ...options.identity,
        minVersion: 'TLSv1.2',
        handshakeTimeout: requestMsMax,
        headersTimeout: requestMsMax,
        requestTimeout: requestMsMax,
        connectionsCheckingInterval: 1_000,
        keepAliveTimeout: keepAliveMs,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.tls.maxConnections = connectionsMax;
  }

  /** Resolves with the port, once connections are taken. */
  listen(port: number, host?: string): Promise<number> {
    return listenOn(this.tls, port, host);
  }

  /** Lets requests in flight finish, for a bounded time. */
  close(): Promise<void> {
    return closeWithin(this.tls, drainMsMax);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = routeOf(request);
    if (route.kind === 'health') return end(response, { status: 200, text: 'ok' });
    if (route.kind === 'refused') return end(response, route.reply);
    const { metrics, nowMs } = this.#options;
    const startedMs = nowMs();
    this.#inFlight += 1;
    metrics.started();
    const reply = await this.#reply(request);
    this.#inFlight -= 1;
    metrics.ended({ code: reply.status, seconds: (nowMs() - startedMs) / 1_000 });
    end(response, reply);
  }

  async #reply(request: IncomingMessage): Promise<Reply> {
    if (this.#inFlight > requestsInFlightMax) return replies.busy;
    const reading = await readBody(request, bodyBytesMax);
    if (reading.kind === 'tooLarge') return replies.tooLarge;
    if (reading.kind === 'aborted') return replies.aborted;
    try {
      return this.#review(reading.body);
    } catch (error) {
      this.#options.log.error('admission failed', { error: error instanceof Error ? error : undefined });
      return replies.failed;
    }
  }

  #review(body: Buffer): Reply {
    const { admit, metrics, log } = this.#options;
    try {
      const request = decodeReview(body);
      const { answer, outcome } = admit(request);
      metrics.decided(outcome);
      log.info('admission', { uid: request.uid, namespace: request.namespace, ...outcome });
      return { status: 200, text: encodeReview(request.uid, answer), json: true };
    } catch (error) {
      if (!(error instanceof ReviewError)) throw error;
      log.warn('admission request not understood', { problem: error.message });
      return replies.notUnderstood;
    }
  }
}

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly json?: true;
  /** The rest of the request is not read. */
  readonly closes?: true;
  readonly allow?: string;
}

const replies = {
  notFound: { status: 404, text: 'not found', closes: true },
  postOnly: { status: 405, text: 'method not allowed', allow: 'POST', closes: true },
  getOnly: { status: 405, text: 'method not allowed', allow: 'GET', closes: true },
  jsonOnly: { status: 415, text: 'unsupported media type', closes: true },
  tooLarge: { status: 413, text: 'body too large', closes: true },
  aborted: { status: 400, text: 'bad request', closes: true },
  notUnderstood: { status: 400, text: 'bad request' },
  busy: { status: 503, text: 'busy', closes: true },
  failed: { status: 500, text: 'internal error' },
} as const satisfies Record<string, Reply>;

type Route =
  | { readonly kind: 'inject' }
  | { readonly kind: 'health' }
  | { readonly kind: 'refused'; readonly reply: Reply };

/** The API server adds a query (`?timeout=5s`), which means nothing to us. */
function routeOf(request: IncomingMessage): Route {
  const path = (request.url ?? '').split('?', 1)[0];
  if (path === '/healthz') return request.method === 'GET' ? { kind: 'health' } : refused(replies.getOnly);
  if (path !== '/inject') return refused(replies.notFound);
  if (request.method !== 'POST') return refused(replies.postOnly);
  return isJson(request.headers['content-type']) ? { kind: 'inject' } : refused(replies.jsonOnly);
}

function refused(reply: Reply): Route {
  return { kind: 'refused', reply };
}

function isJson(contentType: string | undefined): boolean {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() === 'application/json';
}

function end(response: ServerResponse, reply: Reply): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(reply.status, {
    'content-type': reply.json === true ? 'application/json' : 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(reply.text),
    ...(reply.closes === true ? { connection: 'close' } : {}),
    ...(reply.allow === undefined ? {} : { allow: reply.allow }),
  });
  response.end(reply.text);
}
