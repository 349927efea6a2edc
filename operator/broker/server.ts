import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { createServer } from 'node:https';

import type { Log } from '#operator/kube/observers.ts';
import { closeWithin, listenOn } from '#operator/serving/listening.ts';

import { BrokerError, rescue } from './errors.ts';
import { checkContractVersion } from './http.ts';
import { sendJson } from './http.ts';
import { brokerLimits } from './limits.ts';
import type { BrokerObserver } from './metrics.ts';

export interface Route {
  readonly path: string;
  /** For metrics. */
  readonly name: string;
  readonly method: 'GET' | 'POST';
  readonly inFlightMax: number;
  /** Answers, or throws a BrokerError before it has written anything. */
  readonly serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

export interface BrokerServerOptions {
  /** By path. */
  readonly routes: ReadonlyMap<string, Route>;
  /** PEM. Later ones come through `tls.setSecureContext`. */
  readonly identity: { readonly cert: string | Buffer; readonly key: string | Buffer };
  readonly observer: Pick<BrokerObserver, 'callFailed'>;
  readonly log: Log;
}

/** The broker's HTTPS server: limits, routing, and the one place where errors become answers. */
export class BrokerServer {
  readonly tls: Server;
  readonly #options: BrokerServerOptions;
  readonly #inFlight = new Map<Route, number>();
  #draining = false;

  constructor(options: BrokerServerOptions) {
    this.#options = options;
    this.tls = createServer(
      {
        ...options.identity,
        minVersion: 'TLSv1.3',
        handshakeTimeout: brokerLimits.handshakeTimeoutMs,
        headersTimeout: brokerLimits.headersTimeoutMs,
        requestTimeout: brokerLimits.requestTimeoutMs,
        connectionsCheckingInterval: 1_000,
        keepAliveTimeout: brokerLimits.keepAliveTimeoutMs,
        maxHeaderSize: brokerLimits.headerBytesMax,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.tls.maxConnections = brokerLimits.connectionsMax;
    this.tls.on('tlsClientError', (_, socket) => socket.destroy());
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  /** Resolves with the port, once connections are taken. */
  listen(port: number, host?: string): Promise<number> {
    return listenOn(this.tls, port, host);
  }

  /** Refuses what is new, lets what is under way finish for a bounded time, then cuts it. */
  close(): Promise<void> {
    this.#draining = true;
    if (!this.tls.listening) return Promise.resolve();
    return closeWithin(this.tls, brokerLimits.drainMsMax);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let name = 'unknown';
    try {
      const route = this.#route(request);
      ({ name } = route);
      await this.#run(route, request, response);
    } catch (error) {
      this.#rescue(error, name, { request, response });
    }
  }

  async #run(route: Route, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const inFlight = this.#inFlight.get(route) ?? 0;
    if (inFlight >= route.inFlightMax) throw new BrokerError('ERR_BUSY');
    this.#inFlight.set(route, inFlight + 1);
    try {
      await route.serve(request, response);
    } finally {
      this.#inFlight.set(route, (this.#inFlight.get(route) ?? 1) - 1);
    }
  }

  #route(request: IncomingMessage): Route {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const route = this.#options.routes.get(path);
    if (route === undefined) throw new BrokerError('ERR_NOT_FOUND');
    if (request.method !== route.method) throw new BrokerError('ERR_METHOD_NOT_ALLOWED');
    if (this.#draining) throw new BrokerError('ERR_DRAINING');
    checkContractVersion(request);
    return route;
  }

  #rescue(
    error: unknown,
    route: string,
    { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  ): void {
    const { code, status, body } = rescue(error);
    this.#options.observer.callFailed(route, code);
    if (code === 'ERR_INTERNAL') {
      this.#options.log.error('a call to the broker failed', { route, ...(error instanceof Error ? { error } : {}) });
    }
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    // After the last of these, a new connection may lead to a replica whose log takes events.
    const closes = !request.complete || this.#draining || code === 'ERR_AUDIT_UNAVAILABLE';
    sendJson(response, { status, body, closes });
  }
}
