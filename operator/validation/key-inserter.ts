import { Duplex } from 'node:stream';

/** What stands in the head of a request where a key goes. */
export interface Insertion {
  readonly marker: string;
  readonly parts: readonly Uint8Array[];
}

const headEnd = Buffer.from('\r\n\r\n');
const headBytesMax = 262_144;

/**
 * Between an HTTP client and its socket: puts keys where the client wrote markers, so that they go from their buffers into the
 * connection and never become strings. Only the head of the first request is looked at.
 */
export class KeyInserter extends Duplex {
  readonly #socket: Duplex;
  readonly #insertions: readonly Insertion[];
  readonly #ready: Promise<void>;
  #head: Buffer | undefined = Buffer.alloc(0);

  /** `readyOn`: the event of `socket` after which what is written goes straight out. */
  constructor(socket: Duplex, insertions: readonly Insertion[], readyOn: 'connect' | 'secureConnect') {
    super({ autoDestroy: true });
    this.#socket = socket;
    this.#insertions = insertions;
    this.#ready = new Promise((resolve) => socket.once(readyOn, () => resolve()));
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#head === undefined) {
      this.#socket.write(chunk, done);
      return;
    }
    const head = Buffer.concat([this.#head, chunk]);
    if (!head.includes(headEnd)) {
      this.#head = head;
      done(head.byteLength > headBytesMax ? new Error('the head of a request does not end') : null);
      return;
    }
    this.#head = undefined;
    void this.#ready.then(() => this.#writeHead(head, done));
  }

  /** Only now: what is written before the handshake is over would be copied, and kept in memory that nobody zeroes. */
  #writeHead(head: Buffer, done: (error?: Error | null) => void): void {
    if (this.destroyed) return done();
    const filled = fill(head, this.#insertions);
    this.#socket.write(filled, (error) => {
      filled.fill(0);
      done(error);
    });
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

function fill(head: Buffer, insertions: readonly Insertion[]): Buffer {
  const found = insertions
    .map((insertion) => ({ ...insertion, at: head.indexOf(insertion.marker) }))
    .filter(({ at }) => at >= 0)
    .toSorted((left, right) => left.at - right.at);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const { at, marker, parts } of found) {
    pieces.push(head.subarray(from, at), ...parts);
    from = at + marker.length;
  }
  pieces.push(head.subarray(from));
  const filled = Buffer.allocUnsafeSlow(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    filled.set(piece, offset);
    offset += piece.byteLength;
  }
  return filled;
}
