import { Buffer } from 'node:buffer';
import { type AnswerFraming, framingOf, writeAnswerHead } from './answer-head.ts';
import type { Backlog, Waiting } from './backlog.ts';
import type { AnswerChunks, OwnedAnswer } from './client-answer.ts';
import { endsBehind } from './ends-behind.ts';
import { Fields } from './fields.ts';
import { HeadCollector } from './head-collector.ts';
import { Http1Error } from './http1-error.ts';
import { Leaving, type LeavingSignal } from './leaving.ts';
import { NotSpoken, parseReceivedHead, type ReceivedHead } from './received-head.ts';
import { Outbox } from './outbox.ts';
import { ReceivedBody } from './received-body.ts';
import type { AcceptedSocket, SocketListener } from './socket.ts';

/** Longest head of a request, bytes. */
export const requestHeadBytesMax = 16_384;
/** Most bytes that a client sends ahead while its request is worked on. */
const aheadBytesMax = 65_536;

export interface ReceivedRequest {
  readonly head: ReceivedHead;
  readonly body: ReceivedBody;
  /** As the owner has named it. */
  readonly peer: string;
  /** Aborts when the client goes away. */
  readonly signal: LeavingSignal;
}

export interface ClientConnectionOwner {
  readonly backlog: Backlog;
  /** Never rejects. */
  answer(request: ReceivedRequest): Promise<OwnedAnswer>;
  /** What came was no request, and was answered with `status`. */
  refused(status: number): void;
  /** Its client was too slow for the memory that this took. */
  cut(): void;
  gone(connection: ClientConnection): void;
  /** Monotonic. */
  nowMs(): number;
  /** Of now, as HTTP writes it. */
  date(): string;
}

export interface ConnectionTimes {
  /** Longest without a request. */
  readonly idleMsMax: number;
  /** Longest from the first byte of a head to its last. */
  readonly headMsMax: number;
  /** Longest in which a client takes nothing of what is there for it. */
  readonly stallMsMax: number;
  /** Longest wait for a client to read its last answer and to close. */
  readonly lingerMsMax: number;
}

interface Exchange {
  readonly head: ReceivedHead;
  readonly body: ReceivedBody;
  readonly leaving: Leaving;
  isTold: boolean;
  chunks: AnswerChunks | undefined;
}

/** A head. */
interface AnswerText {
  readonly text: string;
  readonly framing: AnswerFraming;
}

type Phase = 'idle' | 'head' | 'busy' | 'lingering' | 'gone';

/**
 * One connection of a client: one request at a time, in the order in which they come, and never another after anything that was not in
 * order. A client that closes its direction has gone.
 */
export class ClientConnection implements SocketListener {
  readonly #owner: ClientConnectionOwner;
  readonly #socket: AcceptedSocket;
  readonly peer: string;
  readonly #heads = new HeadCollector(requestHeadBytesMax);
  #phase: Phase = 'idle';
  #sinceMs: number;
  #exchange: Exchange | undefined;
  /** What came behind the request that is worked on. */
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #isLast = false;
  readonly #outbox: Outbox;
  #account: string;
  /** What the client has sent and nobody has taken. */
  readonly #untaken: Waiting;
  #untakenBodyBytes = 0;
  #isReceiving = false;

  /** Since when it has no request under way; `undefined` while it has one. */
  get waitingSinceMs(): number | undefined {
    return this.#phase === 'busy' ? undefined : this.#sinceMs;
  }

  /** `peer` is where the connection comes from. */
  constructor(owner: ClientConnectionOwner, socket: AcceptedSocket, peer: string) {
    this.#owner = owner;
    this.#socket = socket;
    this.peer = peer;
    this.#sinceMs = owner.nowMs();
    this.#outbox = new Outbox(
      socket,
      () => owner.nowMs(),
      () => this.terminate(),
    );
    this.#account = peer;
    this.#untaken = owner.backlog.waiting(peer, () => this.#cut());
    this.#outbox.countAt(owner.backlog.waiting(peer, () => this.#cut()));
  }

  received(bytes: Buffer): void {
    if (this.#phase === 'lingering' || this.#phase === 'gone') return;
    this.#isReceiving = true;
    try {
      if (this.#exchange === undefined) this.#receiveHead(bytes);
      else this.#receiveBody(this.#exchange, bytes);
    } catch (error) {
      this.#refuse(statusOf(error));
    }
    this.#isReceiving = false;
    this.#countUntaken();
  }

  drained(): void {
    this.#outbox.flush();
  }

  ended(): void {
    this.#leave(new Http1Error('Cancelled', 'the client has gone'));
  }

  closed(cause: Error | undefined): void {
    this.#leave(new Http1Error('Cancelled', 'the client has gone', { cause }));
  }

  /** Ends it when it has waited for longer than it may. */
  check({ idleMsMax, headMsMax, stallMsMax, lingerMsMax }: ConnectionTimes, nowMs: number): void {
    const waitedMs = nowMs - this.#sinceMs;
    if (this.#outbox.stalledMs(nowMs) > stallMsMax) return this.terminate();
    switch (this.#phase) {
      case 'idle':
        if (waitedMs > idleMsMax) this.terminate();
        return;
      case 'head':
        if (waitedMs > headMsMax) this.terminate();
        return;
      case 'lingering':
        if (waitedMs > lingerMsMax) this.terminate();
        return;
      case 'busy':
      case 'gone':
    }
  }

  /** The request under way is its last one; without one it ends now. */
  retire(): void {
    this.#isLast = true;
    if (this.#phase === 'idle') this.terminate();
  }

  /** Ends both directions at once. */
  terminate(): void {
    this.#leave(new Http1Error('Cancelled', 'the connection was ended'));
  }

  #receiveHead(bytes: Buffer): void {
    const found = this.#heads.take(bytes);
    if (found === undefined) {
      if (this.#phase === 'idle' && this.#heads.heldBytes > emptyLine.length) this.#enter('head');
      return;
    }
    this.#heads.restart();
    // RFC 9112, 2.2: an empty line before a request is no request.
    const text = found.text.startsWith(emptyLine) ? found.text.slice(emptyLine.length) : found.text;
    this.#begin(parseReceivedHead(text), found.rest);
  }

  #begin(head: ReceivedHead, rest: Buffer): void {
    const exchange: Exchange = {
      head,
      body: new ReceivedBody(head.bodyBytes, {
        pause: () => this.#socket.pause(),
        resume: () => this.#resumeBody(exchange),
        // What nobody reads is not kept, and makes this the last request.
        abandon: () => this.#socket.resume(),
        waits: (waitingBytes) => {
          if (exchange === this.#exchange) this.#countBody(waitingBytes);
        },
      }),
      leaving: new Leaving(),
      isTold: !head.waits,
      chunks: undefined,
    };
    this.#exchange = exchange;
    this.#enter('busy');
    if (rest.byteLength > 0) this.#receiveBody(exchange, rest);
    void this.#owner
      .answer({ head, body: exchange.body, peer: this.peer, signal: exchange.leaving })
      .then((answer) => this.#answer(exchange, answer));
  }

  /** Somebody wants the body. */
  #resumeBody(exchange: Exchange): void {
    if (exchange !== this.#exchange) return;
    if (!exchange.isTold && !exchange.body.isComplete) this.#outbox.write(goOn);
    exchange.isTold = true;
    this.#socket.resume();
  }

  #receiveBody(exchange: Exchange, bytes: Buffer): void {
    const behind = exchange.body.isComplete ? bytes : exchange.body.feed(bytes);
    if (behind === undefined || behind.byteLength === 0) return;
    if (this.#isLast) return;
    this.#aheadBytes += behind.byteLength;
    if (this.#aheadBytes <= aheadBytesMax) this.#ahead.push(behind);
    else this.#dropAhead();
  }

  /** The connection ends behind the answer under way. It is read on: one that is paused does not tell that its client has gone. */
  #dropAhead(): void {
    this.#isLast = true;
    this.#ahead = [];
  }

  #countBody(waitingBytes: number): void {
    this.#untakenBodyBytes = waitingBytes;
    // Nearly always it is taken before all that came is looked at.
    if (!this.#isReceiving) this.#countUntaken();
  }

  #countUntaken(): void {
    if (this.#phase === 'gone') return;
    let bytes = this.#heads.heldBytes + this.#untakenBodyBytes;
    // A part of what came keeps the memory of all of it.
    for (const { buffer } of this.#ahead) bytes += buffer.byteLength;
    this.#untaken.hold(bytes);
  }

  #answer(exchange: Exchange, { status, headers, body, account = this.peer }: OwnedAnswer): void {
    const isStream = body !== undefined && !(body instanceof Uint8Array);
    if (this.#exchange !== exchange || this.#phase !== 'busy') {
      if (isStream) body.cancel();
      return;
    }
    this.#countFor(account);
    if (!mayStay(exchange, headers)) this.#isLast = true;
    const bodyBytes = isStream ? undefined : (body?.byteLength ?? 0);
    const framing = framingOf({ status, headers, bodyBytes }, exchange.head);
    const text = writeAnswerHead({ status, headers, framing, keptAlive: !this.#isLast, date: this.#owner.date() });
    if (isStream) return this.#begins(exchange, { text, framing }, body);
    this.#outbox.writeWhole(text, framing.kind === 'none' ? undefined : body);
    this.#finish();
  }

  #begins(exchange: Exchange, { text, framing }: AnswerText, chunks: AnswerChunks): void {
    if (framing.kind === 'none') {
      chunks.cancel();
      this.#outbox.writeWhole(text, undefined);
      return this.#finish();
    }
    exchange.chunks = chunks;
    this.#outbox.writeHead(text, framing);
    void this.#stream(exchange, chunks, framing);
  }

  /** From now on what waits in the outbox is theirs. */
  #countFor(account: string): void {
    if (account === this.#account) return;
    this.#account = account;
    this.#outbox.countAt(this.#owner.backlog.waiting(account, () => this.#cut()));
  }

  /** Hands on each chunk when the kernel has taken the one before it: a slow client slows its upstream down. */
  async #stream(exchange: Exchange, chunks: AnswerChunks, framing: AnswerFraming): Promise<void> {
    let bytesLeft = framing.kind === 'length' ? framing.bytes : Number.POSITIVE_INFINITY;
    try {
      for (let chunk = await chunks.read(); chunk !== undefined; chunk = await chunks.read()) {
        bytesLeft -= chunk.byteLength;
        if (bytesLeft < 0) throw new Http1Error('Malformed', 'the answer is longer than it says');
        this.#outbox.writePiece(chunk, framing);
        if (!this.#outbox.isEmpty) await this.#sent();
        if (this.#exchange !== exchange) return;
      }
    } catch {
      // A broken answer must not look like a whole one.
      return this.terminate();
    }
    if (this.#exchange !== exchange) return;
    exchange.chunks = undefined;
    if (framing.kind === 'length' && bytesLeft > 0) return this.terminate();
    this.#outbox.writeEnd(framing);
    this.#finish();
  }

  /** Resolves when the kernel has taken everything, or when there is nobody to take it. */
  async #sent(): Promise<void> {
    await new Promise<void>((resolve) => this.#outbox.whenEmpty(resolve));
  }

  /** A client that does not take its answer gets no other one: they would pile up here. */
  #finish(): void {
    this.#outbox.whenEmpty(() => this.#next());
  }

  #next(): void {
    if (this.#phase !== 'busy') return;
    this.#exchange = undefined;
    if (this.#isLast) return this.#linger();
    this.#enter('idle');
    // Paused by a body that nobody has read.
    this.#socket.resume();
    this.#untakenBodyBytes = 0;
    if (this.#aheadBytes === 0) return this.#countUntaken();
    const ahead = Buffer.concat(this.#ahead);
    this.#ahead = [];
    this.#aheadBytes = 0;
    this.received(ahead);
  }

  /**
   * Says that nothing more will come, and reads over what the client still sends: ended at once, the kernel would throw away the
   * answer that the client has not read yet (RFC 9112, 9.6).
   */
  #linger(): void {
    this.#enter('lingering');
    this.#ahead = [];
    this.#socket.resume();
    this.#outbox.whenEmpty(() => {
      if (this.#phase === 'lingering') this.#socket.shutdown();
    });
  }

  /** What cannot be read has no request and no layer that could answer it. */
  #refuse(status: number): void {
    this.#owner.refused(status);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    const cause = new Http1Error('Malformed', 'the request is not in order');
    exchange?.body.fail(cause);
    exchange?.leaving.abort();
    // In the middle of an answer there is no place for another one.
    if (exchange?.chunks !== undefined || !this.#outbox.isEmpty) return this.terminate();
    const head = { status, headers: new Fields(), framing: { kind: 'length', bytes: 0 } as const };
    this.#outbox.writeWhole(writeAnswerHead({ ...head, keptAlive: false, date: this.#owner.date() }), undefined);
    if (this.#phase !== 'gone') this.#linger();
  }

  /** What waits for it is needed elsewhere. */
  #cut(): void {
    this.#owner.cut();
    this.terminate();
  }

  #leave(error: Http1Error): void {
    if (this.#phase === 'gone') return;
    this.#phase = 'gone';
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#ahead = [];
    this.#untaken.hold(0);
    this.#socket.terminate();
    this.#owner.gone(this);
    exchange?.body.fail(error);
    exchange?.leaving.abort();
    exchange?.chunks?.cancel();
    this.#outbox.discard();
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#sinceMs = this.#owner.nowMs();
  }
}

const emptyLine = '\r\n';
const goOn = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

function statusOf(error: unknown): number {
  if (error instanceof NotSpoken) return error.status;
  if (!(error instanceof Http1Error)) throw error;
  return error.code === 'HeadTooLong' ? 431 : 400;
}

/** A body that has not come whole would have to be read over before the next request is found. */
function mayStay({ head, body }: Exchange, headers: Fields): boolean {
  return head.keptAlive && body.isComplete && !endsBehind(headers);
}
