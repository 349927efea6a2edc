import { Buffer } from 'node:buffer';
import { Http1Error, malformed } from './http1-error.ts';

const headEnd = '\r\n\r\n';
const nothing = Buffer.alloc(0);

/** Cuts heads off what arrives. Nearly always one is whole in its first piece, and nothing is copied. */
export class HeadCollector {
  readonly #bytesMax: number;
  #held: Buffer = nothing;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** How much of a head is here that is not whole. */
  get heldBytes(): number {
    return this.#held.byteLength;
  }

  /** The heads that come from now on have the whole limit. */
  restart(): void {
    this.#bytes = 0;
  }

  /** The next head without its empty line, and what came behind it; `undefined` while it is not whole. */
  take(bytes: Buffer): { readonly text: string; readonly rest: Buffer } | undefined {
    const heldBytes = this.#held.byteLength;
    const whole = heldBytes === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    // The end may lie across two pieces.
    const end = whole.indexOf(headEnd, Math.max(0, heldBytes - headEnd.length), 'latin1');
    const headBytes = end === -1 ? whole.byteLength : end + headEnd.length;
    if (this.#bytes + headBytes > this.#bytesMax) {
      throw new Http1Error('HeadTooLong', `the head is longer than ${this.#bytesMax} bytes`);
    }
    if (end === -1) {
      refuseBareLineFeed(whole, heldBytes);
      this.#held = whole;
      return undefined;
    }
    this.#bytes += headBytes;
    this.#held = nothing;
    return { text: whole.toString('latin1', 0, end + 2), rest: whole.subarray(headBytes) };
  }
}

/** Otherwise a head that ends its lines in LF alone would be waited for without an end. */
function refuseBareLineFeed(bytes: Buffer, start: number): void {
  for (let at = bytes.indexOf(0x0a, start); at !== -1; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at - 1] !== 0x0d) throw malformed('a line of the head does not end in CRLF');
  }
}
