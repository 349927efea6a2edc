import { Pool } from 'undici';

import type { Clock } from './clock.ts';
import type { ConnectionSettings, ConnectionSource } from './connection.ts';
import { KubeError } from './errors.ts';
import type { Log } from './observers.ts';

export interface PoolLimits {
  /** Sockets for requests. */
  readonly requestSocketsMax: number;
  /** Sockets for watches: HTTP/1.1 needs one for each. */
  readonly watchSocketsMax: number;
  readonly keepAliveMs: number;
  readonly connectTimeoutMs: number;
  /** Silence on a connection before TCP asks whether the peer is still there. */
  readonly tcpIdleMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  /** How old credentials may be before their files are read again. */
  readonly credentialsAgeMsMax: number;
}

export interface Pools {
  readonly settings: ConnectionSettings;
  readonly requests: Pool;
  readonly watches: Pool;
}

/**
 * One pool for requests and one for watches, renewed when the CA, the client certificate or the server changes. Watches have their
 * own, so that they neither take the sockets of requests nor share their body timeout.
 */
export class ConnectionPools {
  readonly #source: ConnectionSource;
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #open = new Set<Pool>();
  #pools: Pools | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<Pools> | undefined;
  #closed = false;

  constructor(options: { source: ConnectionSource; limits: PoolLimits; clock: Clock; log: Log }) {
    this.#source = options.source;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Pools and credentials that are at most `credentialsAgeMsMax` old; `fresh` reads the files whatever their age. */
  async current(fresh = false): Promise<Pools> {
    const stale = this.#clock.nowMs() - this.#readAtMs >= this.#limits.credentialsAgeMsMax;
    if (this.#pools !== undefined && !fresh && !stale) return this.#pools;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return await this.#reading;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((pool) => pool.destroy()));
    this.#open.clear();
  }

  async #read(): Promise<Pools> {
    const previous = this.#pools;
    let settings: ConnectionSettings;
    try {
      settings = await this.#source();
    } catch (error) {
      if (previous === undefined)
        throw new KubeError('Unavailable', 'cannot read the API server credentials', { cause: error });
      // The kubelet swaps the files; a reading between two versions must not cost us the credentials that still work.
      this.#log.warn('cannot read the API server credentials again', errorField(error));
      return previous;
    }
    if (this.#closed) throw new KubeError('Aborted', 'the Kubernetes client is closed');
    this.#readAtMs = this.#clock.nowMs();
    this.#pools =
      previous !== undefined && sameTls(previous.settings, settings)
        ? { ...previous, settings }
        : this.#renew(settings);
    return this.#pools;
  }

  #renew(settings: ConnectionSettings): Pools {
    for (const pool of this.#open) void pool.close().then(() => this.#open.delete(pool), ignore);
    const pools = {
      settings,
      requests: this.#pool(settings, this.#limits.requestSocketsMax, this.#limits.bodyTimeoutMs),
      watches: this.#pool(settings, this.#limits.watchSocketsMax, 0),
    };
    this.#open.add(pools.requests).add(pools.watches);
    return pools;
  }

  #pool(settings: ConnectionSettings, connections: number, bodyTimeout: number): Pool {
    const certificate = settings.clientCertificate;
    return new Pool(settings.server, {
      connections,
      bodyTimeout,
      allowH2: false,
      pipelining: 1,
      keepAliveTimeout: this.#limits.keepAliveMs,
      headersTimeout: this.#limits.headersTimeoutMs,
      connect: {
        timeout: this.#limits.connectTimeoutMs,
        // A peer that is gone without a word is noticed ten probes, one a second, later; a watch may be silent for a minute.
        keepAlive: true,
        keepAliveInitialDelay: this.#limits.tcpIdleMs,
        ...(settings.ca === undefined ? {} : { ca: settings.ca }),
        ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
        ...(settings.serverName === undefined ? {} : { servername: settings.serverName }),
      },
    });
  }
}

/** A new token goes into the next request; anything else needs new sockets. */
function sameTls(a: ConnectionSettings, b: ConnectionSettings): boolean {
  return (
    a.server === b.server &&
    a.serverName === b.serverName &&
    a.ca === b.ca &&
    a.clientCertificate?.certificate === b.clientCertificate?.certificate &&
    a.clientCertificate?.key === b.clientCertificate?.key
  );
}

function errorField(error: unknown): { readonly error: Error } | Record<string, never> {
  return error instanceof Error ? { error } : {};
}

function ignore(): void {
  // A pool that was destroyed while it closed.
}
