import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Dispatcher } from 'undici';

import { linkAbort } from './abort-link.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { ConnectionPools, type PoolLimits } from './connection-pools.ts';
import type { ConnectionSource } from './connection.ts';
import { errorOfStatus, KubeError } from './errors.ts';
import { type Log, type RequestObserver, silentLog } from './observers.ts';
import { Gate, type GateLimits } from './gate.ts';
import type { KubeRequest } from './request.ts';
import { readBounded, readStatus } from './response-body.ts';
import { decideRetry, parseRetryAfterMs } from './retry.ts';

export interface TransportLimits extends PoolLimits {
  /** A whole call, waiting between attempts included. */
  readonly callTimeoutMs: number;
  readonly responseBytesMax: number;
  /** Calls under way at once: sockets are opened only as far as this asks for. */
  readonly calls: GateLimits;
  /** The same for pages of listings. */
  readonly bulkCalls: GateLimits;
}

export const transportLimits: TransportLimits = {
  requestSocketsMax: 16,
  watchSocketsMax: 320,
  keepAliveMs: 30_000,
  connectTimeoutMs: 10_000,
  tcpIdleMs: 2_000,
  headersTimeoutMs: 30_000,
  bodyTimeoutMs: 30_000,
  credentialsAgeMsMax: 60_000,
  callTimeoutMs: 60_000,
  responseBytesMax: 64 * 1024 * 1024,
  calls: { tasksMin: 4, tasksMax: 16, patienceMs: 100 },
  bulkCalls: { tasksMin: 2, tasksMax: 8, patienceMs: 5000 },
};

export interface TransportOptions {
  readonly source: ConnectionSource;
  /** Also the component's name in the server's audit log. */
  readonly userAgent: string;
  readonly limits?: Partial<TransportLimits>;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly observer?: RequestObserver;
  readonly log?: Log;
}

/** Sends calls to one API server. Every rejection is a `KubeError`; what resolves is a success. */
export interface Transport {
  request(request: KubeRequest): Promise<Buffer>;
  /** The body of a watch, as soon as its headers are there. Aborting `request.signal` or destroying the body ends it. */
  stream(request: KubeRequest): Promise<Readable>;
  /** Breaks what is under way; nothing is sent afterwards. */
  close(): Promise<void>;
}

export function createTransport(options: TransportOptions): Transport {
  return new PooledTransport(options);
}

interface Attempt {
  readonly watch: boolean;
  readonly freshCredentials: boolean;
  readonly signal: AbortSignal;
}

class PooledTransport implements Transport {
  readonly #limits: TransportLimits;
  readonly #pools: ConnectionPools;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #userAgent: string;
  readonly #observer: RequestObserver | undefined;
  readonly #closing = new AbortController();
  readonly #calls: Gate;
  readonly #bulkCalls: Gate;

  constructor(options: TransportOptions) {
    this.#limits = { ...transportLimits, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    this.#calls = new Gate(this.#limits.calls, this.#clock);
    this.#bulkCalls = new Gate(this.#limits.bulkCalls, this.#clock);
    this.#random = options.random ?? Math.random;
    this.#userAgent = options.userAgent;
    this.#observer = options.observer;
    const log = options.log ?? silentLog;
    this.#pools = new ConnectionPools({ source: options.source, limits: this.#limits, clock: this.#clock, log });
  }

  async request(request: KubeRequest): Promise<Buffer> {
    if (request.bulk !== true) return await this.#call(request);
    using link = linkAbort(request.signal, this.#closing.signal);
    try {
      return await this.#bulkCalls.run(() => this.#call(request), link.signal);
    } catch (error) {
      throw kubeErrorOf(error, request, link.signal);
    }
  }

  async #call(request: KubeRequest): Promise<Buffer> {
    const deadline = new AbortController();
    const timer = this.#clock.setTimer(() => deadline.abort(timedOut(request)), this.#limits.callTimeoutMs);
    using link = linkAbort(request.signal, this.#closing.signal, deadline.signal);
    try {
      return await this.#withRetries(request, { watch: false, signal: link.signal }, (attempt) =>
        this.#calls.run(() => this.#exchange(request, attempt), link.signal),
      );
    } finally {
      timer.cancel();
    }
  }

  async #exchange(request: KubeRequest, attempt: Attempt): Promise<Buffer> {
    const answer = await readBounded(await this.#send(request, attempt), this.#limits.responseBytesMax);
    // The pool gets its socket back a turn after the body's end; a caller who went on at once would open another one.
    await nextTurn();
    return answer;
  }

  stream(request: KubeRequest): Promise<Readable> {
    // Its body outlives this call, and so must its signal. Closing destroys the pools, and with them every body.
    const signal = request.signal ?? this.#closing.signal;
    return this.#withRetries(request, { watch: true, signal }, (attempt) => this.#send(request, attempt));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#pools.close();
  }

  async #withRetries<T>(
    request: KubeRequest,
    call: { readonly watch: boolean; readonly signal: AbortSignal },
    exchange: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    let refreshed = false;
    let freshCredentials = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await exchange({ ...call, freshCredentials });
      } catch (error) {
        const failure = kubeErrorOf(error, request, call.signal);
        const facts = { failure, method: request.method, watch: call.watch, attempt, refreshed };
        const decision = decideRetry(facts, this.#random);
        if (decision.kind === 'fail') throw failure;
        freshCredentials = decision.freshCredentials;
        refreshed ||= freshCredentials;
        await sleep(this.#clock, decision.delayMs, call.signal);
      }
    }
  }

  async #send(request: KubeRequest, attempt: Attempt): Promise<Readable> {
    if (this.#closing.signal.aborted) throw new KubeError('Aborted', 'the Kubernetes client is closed');
    const { settings, requests, watches } = await this.#pools.current(attempt.freshCredentials);
    attempt.signal.throwIfAborted();
    request.beforeSend?.();
    const pool = attempt.watch ? watches : requests;
    const host = new URL(settings.server).host;
    const answer = await pool
      .request({
        method: request.method,
        path: request.path,
        headers: this.#headers(request, settings.token),
        body: request.body ?? null,
        signal: attempt.signal,
      })
      .catch((error: unknown) => {
        this.#observer?.requestEnded({ method: request.method, code: '<error>', host });
        throw error;
      });
    this.#observer?.requestEnded({ method: request.method, code: String(answer.statusCode), host });
    return await successBody(request, answer);
  }

  #headers(request: KubeRequest, token: string | undefined): Record<string, string> {
    return {
      accept: request.accept,
      'user-agent': this.#userAgent,
      ...(request.contentType === undefined ? {} : { 'content-type': request.contentType }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
  }
}

async function successBody(request: KubeRequest, answer: Dispatcher.ResponseData): Promise<Readable> {
  if (answer.statusCode >= 200 && answer.statusCode < 300) return answer.body;
  const header = answer.headers['retry-after'];
  const body = await readStatus(answer.body);
  const retryAfterMs =
    parseRetryAfterMs(typeof header === 'string' ? header : undefined, Date.now()) ??
    (body?.details?.retryAfterSeconds === undefined ? undefined : body.details.retryAfterSeconds * 1000);
  throw errorOfStatus({ status: answer.statusCode, body, retryAfterMs }, request.type, request.what);
}

const timeoutCodes: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

/** Anything thrown on the way, as the closed set. Only the cause's code goes into the message. */
export function kubeErrorOf(error: unknown, request: Pick<KubeRequest, 'what'>, signal?: AbortSignal): KubeError {
  if (error instanceof KubeError) return error;
  if (signal?.aborted === true) return abortError(signal.reason, request);
  const code = codeIn(error) ?? codeIn(error instanceof Error ? error.cause : undefined) ?? 'unknown error';
  const kind = timeoutCodes.has(code) ? 'Timeout' : 'Unavailable';
  return new KubeError(kind, `${request.what}: ${code}`, { cause: error });
}

function abortError(reason: unknown, request: Pick<KubeRequest, 'what'>): KubeError {
  if (reason instanceof KubeError) return reason;
  if (reason instanceof DOMException && reason.name === 'TimeoutError') return timedOut(request);
  return new KubeError('Aborted', `${request.what}: aborted`, { cause: reason });
}

function timedOut(request: Pick<KubeRequest, 'what'>): KubeError {
  return new KubeError('Timeout', `${request.what}: no answer in time`);
}

function codeIn(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
