/** Reads HTTP/1.1 messages from a socket as they were written: no library normalizes, joins or decodes anything. */
import type { Socket } from 'node:net';

export interface RawMessage {
  /** Request line or status line. */
  readonly start: string;
  /** In order, with the names as written; values as Latin-1, so that a character is a byte. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

export class HttpReader {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
    for (const end of ['end', 'error', 'close']) {
      socket.on(end, () => {
        this.#ended = true;
        this.#wake?.();
      });
    }
  }

  /** `undefined` when the connection ended before another message began. */
  async head(): Promise<RawMessage | undefined> {
    const end = await this.#find('\r\n\r\n');
    if (end === -1) return undefined;
    const [start = '', ...lines] = this.#take(end).toString('latin1').split('\r\n');
    this.#take(4);
    return { start, fields: lines.map(fieldOf) };
  }

  /** The body that `head` announces, piece by piece as it comes; a body without length goes on to the end of the connection. */
  async *body({ start, fields }: RawMessage): AsyncGenerator<Buffer> {
    if (valueOf(fields, 'transfer-encoding')?.toLowerCase() === 'chunked') return yield* this.#chunks();
    const declared = valueOf(fields, 'content-length');
    const isResponse = start.startsWith('HTTP/');
    if (declared === undefined && isResponse && !/ (?:1\d\d|204|304)\b/.test(start)) return yield* this.#rest();
    let left = Number(declared ?? 0);
    while (left > 0) {
      await this.#have(1);
      const piece = this.#take(Math.min(left, this.#bytes.byteLength));
      left -= piece.byteLength;
      yield piece;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    for (;;) {
      const end = await this.#find('\r\n');
      if (end === -1) throw new Error('the connection ended inside a chunked body');
      const size = Number.parseInt(this.#take(end).toString('latin1'), 16);
      this.#take(2);
      await this.#have(size + 2);
      const piece = this.#take(size);
      this.#take(2);
      if (size === 0) return;
      yield piece;
    }
  }

  async *#rest(): AsyncGenerator<Buffer> {
    for (;;) {
      if (this.#bytes.byteLength > 0) yield this.#take(this.#bytes.byteLength);
      else if (this.#ended) return;
      else await this.#more();
    }
  }

  async #find(mark: string): Promise<number> {
    for (;;) {
      const at = this.#bytes.indexOf(mark);
      if (at !== -1 || this.#ended) return at;
      await this.#more();
    }
  }

  async #have(count: number): Promise<void> {
    while (this.#bytes.byteLength < count) {
      if (this.#ended) throw new Error('the connection ended inside a body');
      await this.#more();
    }
  }

  #take(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

function fieldOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

export async function whole(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

function valueOf(fields: RawMessage['fields'], name: string): string | undefined {
  return fields.find(([key]) => key.toLowerCase() === name)?.[1];
}
