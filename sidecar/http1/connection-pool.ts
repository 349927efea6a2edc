import { type Answer, Connection, type ConnectionOwner, type SentRequest, Unanswered } from './connection.ts';
import type { Backlog } from './backlog.ts';
import { Http1Error } from './http1-error.ts';
import { isStreamed } from './request-head.ts';
import type { Dial } from './socket.ts';

export interface PoolOptions {
  readonly dial: Dial;
  /** Value of `Host`. */
  readonly host: string;
  readonly limits: PoolLimits;
  /** Asked for each request. */
  readonly waits: () => Waits;
  /** Shared by everything that waits for clients. */
  readonly backlog: Backlog;
  /** Monotonic. */
  readonly nowMs: () => number;
}

export interface Waits {
  /** Longest wait for a connection. */
  readonly connectMsMax: number;
  /** Longest wait from the request to the whole head of its answer; `undefined`: as long as it takes. */
  readonly answerMsMax: number | undefined;
}

export interface PoolLimits {
  /** Longest that a connection waits for its next request; shorter than servers wait (5 s in Node). */
  readonly idleMsMax: number;
  readonly connectionsMax: number;
}

export interface PooledRequest extends SentRequest {
  /** Whether doing it twice is as good as once. */
  readonly repeatable: boolean;
}

/** Connections to one server. The one used last is used next, so that the others grow old and go. */
export class ConnectionPool implements ConnectionOwner {
  readonly #options: PoolOptions;
  /** Oldest first. */
  readonly #idle: Connection[] = [];
  #open = 0;
  #sweeping = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get backlog(): Backlog {
    return this.#options.backlog;
  }

  get open(): number {
    return this.#open;
  }

  /** @throws Http1Error */
  async send(request: PooledRequest): Promise<Answer> {
    const { connectMsMax, answerMsMax } = this.#options.waits();
    const kept = this.#takeIdle();
    if (kept !== undefined) {
      try {
        return await kept.send(request, answerMsMax);
      } catch (error) {
        if (!mayRepeat(error, request)) throw error;
      }
    }
    // After a failure never on another kept one, which is as old.
    const connection = await this.#connect(connectMsMax);
    return connection.send(request, answerMsMax);
  }

  idle(connection: Connection): void {
    connection.idleSinceMs = this.#options.nowMs();
    this.#idle.push(connection);
    this.#sweepLater();
  }

  gone(connection: Connection): void {
    this.#open -= 1;
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
  }

  #takeIdle(): Connection | undefined {
    const newest = this.#idle.pop();
    if (newest === undefined || !this.#isOld(newest)) return newest;
    newest.destroy(tooOld());
    return this.#takeIdle();
  }

  #isOld(connection: Connection): boolean {
    return this.#options.nowMs() - connection.idleSinceMs > this.#options.limits.idleMsMax;
  }

  #closeOld(): void {
    this.#sweeping = false;
    for (let [oldest] = this.#idle; oldest !== undefined && this.#isOld(oldest); [oldest] = this.#idle) {
      oldest.destroy(tooOld());
    }
    if (this.#idle.length > 0) this.#sweepLater();
  }

  /** One timer for all, and none while nothing waits. */
  #sweepLater(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    setTimeout(() => this.#closeOld(), this.#options.limits.idleMsMax);
  }

  async #connect(connectMsMax: number): Promise<Connection> {
    const { limits, dial, host } = this.#options;
    if (this.#open >= limits.connectionsMax) {
      throw new Http1Error('TooManyConnections', `more than ${limits.connectionsMax} connections to the server`);
    }
    this.#open += 1;
    const opening = Connection.open(dial, this, host);
    const timeout = after(connectMsMax);
    try {
      const connection = await Promise.race([opening, timeout.passed]);
      if (connection !== undefined) return connection;
    } catch (cause) {
      this.#open -= 1;
      if (cause instanceof Http1Error) throw cause;
      throw new Http1Error('ConnectFailed', 'the server accepts no connection', { cause });
    } finally {
      timeout.clear();
    }
    opening.then(
      (late) => late.destroy(connectTimeout()),
      () => (this.#open -= 1),
    );
    throw connectTimeout();
  }
}

function mayRepeat(error: unknown, { repeatable, signal, body }: PooledRequest): boolean {
  // A streamed body cannot be read again.
  return error instanceof Unanswered && (error.unread || repeatable) && !signal.aborted && !isStreamed(body);
}

function tooOld(): Http1Error {
  return new Http1Error('BrokenOff', 'the connection was not used for too long');
}

function connectTimeout(): Http1Error {
  return new Http1Error('ConnectTimeout', 'the server accepted no connection in time');
}

interface Timeout {
  readonly passed: Promise<undefined>;
  clear(): void;
}

function after(ms: number): Timeout {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passed = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return { passed, clear: () => clearTimeout(timer) };
}
