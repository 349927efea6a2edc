import { Buffer } from 'node:buffer';
import type { AnswerFraming } from './answer-head.ts';
import { headAndBody, joinedBytesMax } from './head-and-body.ts';
import type { Socket } from './socket.ts';
import type { Waiting } from './backlog.ts';

const lastChunk = Buffer.from('0\r\n\r\n');
const lineEnd = Buffer.from('\r\n');

/** What is on its way to a client, and waits until the kernel takes it. Whoever writes waits for `whenEmpty` before writing more. */
export class Outbox {
  readonly #socket: Pick<Socket, 'write'>;
  readonly #nowMs: () => number;
  readonly #broken: () => void;
  #unsent: Uint8Array[] = [];
  #head: string | undefined;
  #progressMs = 0;
  #tell: (() => void) | undefined;
  #isClosed = false;
  #waiting: Waiting | undefined;

  /** `broken` is called when nobody takes anything any more. */
  constructor(socket: Pick<Socket, 'write'>, nowMs: () => number, broken: () => void) {
    this.#socket = socket;
    this.#nowMs = nowMs;
    this.#broken = broken;
  }

  get isEmpty(): boolean {
    return this.#unsent.length === 0;
  }

  /** How long the kernel has taken nothing of what is here. */
  stalledMs(nowMs: number): number {
    return this.isEmpty ? 0 : nowMs - this.#progressMs;
  }

  /** Where what is written from now on counts while it is here; what is here is counted where it was. */
  countAt(waiting: Waiting): void {
    this.#waiting?.hold(0);
    this.#waiting = waiting;
    this.#count();
  }

  /** Calls `tell` once, when everything is taken: at once where it is. */
  whenEmpty(tell: () => void): void {
    if (this.isEmpty) tell();
    else this.#tell = tell;
  }

  write(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#unsent.push(bytes);
    if (this.#unsent.length > 1) return this.#count();
    this.#progressMs = this.#nowMs();
    this.flush();
  }

  /** Head and body in one write where copying costs less than a second one. */
  writeWhole(head: string, body: Uint8Array | undefined): void {
    for (const piece of headAndBody(head, body)) this.write(piece);
  }

  /**
   * The head of a body that comes in pieces. Where its length is known, its first piece is here already, and both are one write; nobody
   * knows when the first event of a stream comes.
   */
  writeHead(head: string, framing: AnswerFraming): void {
    if (framing.kind === 'length') this.#head = head;
    else this.writeWhole(head, undefined);
  }

  /** A piece of a body, in the framing that its head has announced. */
  writePiece(piece: Uint8Array, framing: AnswerFraming): void {
    if (piece.byteLength === 0) return;
    const head = this.#head;
    this.#head = undefined;
    if (head !== undefined) return this.writeWhole(head, piece);
    if (framing.kind !== 'chunked') return this.write(piece);
    const size = `${piece.byteLength.toString(16)}\r\n`;
    if (piece.byteLength > joinedBytesMax) {
      this.write(Buffer.from(size, 'latin1'));
      this.write(piece);
      return this.write(lineEnd);
    }
    const whole = Buffer.allocUnsafe(size.length + piece.byteLength + lineEnd.length);
    whole.write(size, 0, 'latin1');
    whole.set(piece, size.length);
    whole.set(lineEnd, size.length + piece.byteLength);
    this.write(whole);
  }

  writeEnd(framing: AnswerFraming): void {
    if (this.#head !== undefined) this.writeWhole(this.#head, undefined);
    this.#head = undefined;
    if (framing.kind === 'chunked') this.write(lastChunk);
  }

  /** The kernel takes bytes again. */
  flush(): void {
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const written = this.#socket.write(bytes);
      if (written < 0) return this.#broken();
      if (written > 0) this.#progressMs = this.#nowMs();
      if (written < bytes.byteLength) {
        this.#unsent[0] = bytes.subarray(written);
        return this.#count();
      }
      this.#unsent.shift();
    }
    this.#count();
    this.#told();
  }

  /** Forgets everything and takes nothing more; whoever waits is told. */
  discard(): void {
    this.#isClosed = true;
    this.#unsent = [];
    this.#head = undefined;
    this.#count();
    this.#told();
  }

  /** A rest keeps the memory of all that it is the rest of. */
  #count(): void {
    let bytes = 0;
    for (const { buffer } of this.#unsent) bytes += buffer.byteLength;
    this.#waiting?.hold(bytes);
  }

  #told(): void {
    const tell = this.#tell;
    this.#tell = undefined;
    tell?.();
  }
}
