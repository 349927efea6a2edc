import { Buffer } from 'node:buffer';
import type { Backlog } from './backlog.ts';
import type { Fields } from './fields.ts';
import { Http1Error } from './http1-error.ts';
import type { LeavingSignal } from './leaving.ts';
import { isStreamed, type StreamedBody, type WireRequest, writePiece, writeRequest } from './request-head.ts';
import { BodyQueue } from './body-queue.ts';
import type { ResponseHead } from './response-head.ts';
import { ResponseReader } from './response-reader.ts';
import type { Dial, Socket, SocketListener } from './socket.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Fields;
  /** Bytes when all of them are here, `undefined` when there are none. */
  readonly body: Uint8Array | BodyQueue | undefined;
}

/** A request ended without a byte of an answer. */
export class Unanswered extends Http1Error {
  /** Whether the server surely has not read it, or not all of it. */
  readonly unread: boolean;

  constructor(unread: boolean, cause?: Error) {
    super('BrokenOff', 'the server closed the connection instead of answering', { cause });
    this.unread = unread;
  }
}

export interface ConnectionOwner {
  readonly backlog: Backlog;
  /** It may carry the next request. */
  idle(connection: Connection): void;
  gone(connection: Connection): void;
}

export interface SentRequest extends WireRequest {
  /** Whose memory it is that waits for the answer to be read. */
  readonly account: string;
  /** Aborts when the client goes away: the connection is cut, which is all that HTTP/1.1 has to say so. */
  readonly signal: LeavingSignal;
}

interface Exchange {
  readonly account: string;
  readonly signal: LeavingSignal;
  timer: ReturnType<typeof setTimeout> | undefined;
  readonly answered: PromiseWithResolvers<Answer>;
  readonly reader: ResponseReader;
  /** What is still to be sent. */
  unsent: readonly Uint8Array[];
  /** Where more of the request comes from, until all of it has come. */
  streamed: StreamedBody | undefined;
  /** Whether that was asked for more. */
  asking: boolean;
  body: BodyQueue | undefined;
  /** Whether a byte of the answer came. */
  heard: boolean;
}

/** One connection to the server: one request at a time, and never another after anything that was not in order. */
export class Connection implements SocketListener {
  readonly #owner: ConnectionOwner;
  readonly #host: string;
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;
  #gone = false;
  /** Made once, as they are needed for each request. */
  readonly #cut = (): void => this.#fail(new Http1Error('Cancelled', 'the client has gone'));
  readonly #beLate = (): void => this.#fail(new Http1Error('AnswerTimeout', 'the server did not answer in time'));
  idleSinceMs = 0;

  private constructor(owner: ConnectionOwner, host: string) {
    this.#owner = owner;
    this.#host = host;
  }

  static async open(dial: Dial, owner: ConnectionOwner, host: string): Promise<Connection> {
    const connection = new Connection(owner, host);
    const socket = await dial(connection);
    connection.#socket = socket;
    // It may have ended before it was known here.
    if (connection.#gone) socket.terminate();
    return connection;
  }

  /** Sends a request; resolves its answer as soon as the head is here, with a short body even when that is. */
  send(request: SentRequest, answerMsMax: number | undefined): Promise<Answer> {
    const { account, signal } = request;
    const answered = Promise.withResolvers<Answer>();
    this.#exchange = {
      account,
      signal,
      answered,
      timer: answerMsMax === undefined ? undefined : setTimeout(this.#beLate, answerMsMax),
      reader: new ResponseReader(),
      unsent: writeRequest(request, this.#host),
      streamed: isStreamed(request.body) ? request.body : undefined,
      asking: false,
      body: undefined,
      heard: false,
    };
    signal.addEventListener('abort', this.#cut);
    if (signal.aborted) this.#cut();
    else if (!this.#flush(this.#exchange)) this.#fail(new Unanswered(true));
    return answered.promise;
  }

  /** Ends it at once, and what it carries with `error`. */
  destroy(error: Error): void {
    this.#fail(error);
  }

  received(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#close();
    exchange.heard = true;
    try {
      this.#deliver(exchange, exchange.reader.feed(bytes));
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  /** Where nothing can be sent any more, the end of the connection says so itself, behind what the server still answered. */
  drained(): void {
    if (this.#exchange !== undefined) this.#flush(this.#exchange);
  }

  ended(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#close();
    if (!exchange.heard) return this.#fail(new Unanswered(this.#isUnread()));
    try {
      exchange.reader.end();
      this.#deliver(exchange, undefined);
    } catch (error) {
      this.#fail(asError(error));
    }
  }

  closed(cause: Error | undefined): void {
    if (this.#exchange?.heard === false) this.#fail(new Unanswered(false, cause));
    else this.#fail(new Http1Error('BrokenOff', 'the connection was lost', { cause }));
  }

  /**
   * The server has closed its direction. Had it read the request before, the kernel would still take bytes for it now; had it closed
   * before the request came, its kernel has answered that with a reset, and ours takes no more. An empty line is no request to
   * anybody (RFC 9112, 2.2).
   */
  #isUnread(): boolean {
    return this.#socket?.write(emptyLine) === -1;
  }

  /** Returns whether the connection takes bytes. */
  #flush(exchange: Exchange): boolean {
    while (exchange.unsent.length > 0) {
      const [piece = emptyLine, ...later] = exchange.unsent;
      const written = this.#socket?.write(piece) ?? -1;
      if (written < 0) return false;
      if (written < piece.byteLength) {
        exchange.unsent = [piece.subarray(written), ...later];
        return true;
      }
      exchange.unsent = later;
    }
    this.#ask(exchange);
    return true;
  }

  /** Only once all before it is out: a slow server makes the client wait. */
  #ask(exchange: Exchange): void {
    const { streamed } = exchange;
    if (streamed === undefined || exchange.asking) return;
    exchange.asking = true;
    streamed.read().then(
      (bytes) => this.#sendOn(exchange, streamed, bytes),
      (cause: unknown) => {
        if (this.#exchange !== exchange) return;
        this.#fail(new Http1Error('Cancelled', 'the client did not send its whole body', { cause }));
      },
    );
  }

  #sendOn(exchange: Exchange, streamed: StreamedBody, bytes: Uint8Array | undefined): void {
    if (this.#exchange !== exchange) return;
    exchange.asking = false;
    if (bytes === undefined) exchange.streamed = undefined;
    exchange.unsent = writePiece(streamed, bytes);
    this.#flush(exchange);
  }

  #deliver(exchange: Exchange, content: Uint8Array | undefined): void {
    const { reader } = exchange;
    if (reader.head === undefined) return;
    clearTimeout(exchange.timer);
    if (exchange.body === undefined) this.#answer(exchange, reader.head, content);
    else if (content !== undefined) exchange.body.push(content);
    if (!reader.done) return;
    exchange.body?.end();
    this.#finish(exchange, reader.head);
  }

  /** A body whose length is known is waited for until its first byte: nearly always that is all of it, and needs no stream. */
  #answer(exchange: Exchange, { status, headers, framing }: ResponseHead, content: Uint8Array | undefined): void {
    const { reader, answered } = exchange;
    if (reader.done) return answered.resolve({ status, headers, body: content });
    if (framing.kind === 'length' && content === undefined) return;
    const body = this.#queue(exchange.account);
    if (content !== undefined) body.push(content);
    exchange.body = body;
    answered.resolve({ status, headers, body });
  }

  #queue(account: string): BodyQueue {
    const body = new BodyQueue({
      pause: () => this.#socket?.pause(),
      resume: () => this.#socket?.resume(),
      abandon: () => this.#close(),
      waits: (bytes) => waiting.hold(bytes),
    });
    const waiting = this.#owner.backlog.waiting(account, () =>
      body.drop(new Http1Error('Cancelled', 'nobody read it')),
    );
    return body;
  }

  #finish(exchange: Exchange, head: ResponseHead): void {
    this.#release();
    const isSent = exchange.unsent.length === 0 && exchange.streamed === undefined;
    if (!head.keptAlive || exchange.reader.excess || !isSent) return this.#close();
    if (exchange.body !== undefined) this.#socket?.resume();
    this.#owner.idle(this);
  }

  #fail(error: Error): void {
    const exchange = this.#exchange;
    this.#release();
    this.#close();
    exchange?.body?.fail(error);
    exchange?.answered.reject(error);
  }

  #close(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#release();
    this.#socket?.terminate();
    this.#owner.gone(this);
  }

  #release(): void {
    if (this.#exchange === undefined) return;
    clearTimeout(this.#exchange.timer);
    this.#exchange.signal.removeEventListener('abort', this.#cut);
    this.#exchange.streamed?.cancel();
    this.#exchange = undefined;
  }
}

const emptyLine = Buffer.from('\r\n');

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('not an error', { cause: error });
}
