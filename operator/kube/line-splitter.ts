import { KubeError } from './errors.ts';

/** Longest watch event that is read: an object is at most 1.5 MiB in etcd, its JSON can be several times that. */
export const lineBytesMax = 8 * 1024 * 1024;

const newline = 0x0a;

/** Cuts a byte stream into lines without ever holding more than one of them. */
export class LineSplitter {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #heldBytes = 0;

  constructor(bytesMax = lineBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of an unfinished line. Not zero at the end of a stream: it was cut. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * The lines that `piece` completes, without their newline; empty ones are left out.
   *
   * @throws KubeError `BadResponse` on a line that is too long; the stream is lost then.
   */
  *push(piece: Buffer): Generator<Buffer> {
    let from = 0;
    for (let to = piece.indexOf(newline); to !== -1; to = piece.indexOf(newline, from)) {
      const line = this.#finish(piece.subarray(from, to));
      from = to + 1;
      if (line.length > 0) yield line;
    }
    this.#hold(piece.subarray(from));
  }

  #finish(end: Buffer): Buffer {
    this.#hold(end);
    const line = this.#pieces.length === 1 ? (this.#pieces[0] ?? end) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#heldBytes = 0;
    return line;
  }

  #hold(piece: Buffer): void {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > this.#bytesMax) {
      throw new KubeError('BadResponse', `the API server sent a watch event longer than ${this.#bytesMax} bytes`);
    }
    if (piece.length > 0) this.#pieces.push(piece);
  }
}
