import { malformed } from './http1-error.ts';

/** Longest chunk-size line and longest trailer section, bytes. */
export const chunkLineBytesMax = 4_096;
export const trailerBytesMax = 8_192;

const cr = 0x0d;
const lf = 0x0a;
const semicolon = 0x3b;
const tab = 0x09;

type State = 'size' | 'extension' | 'sizeLf' | 'data' | 'dataCr' | 'dataLf' | 'trailer' | 'trailerLf' | 'done';

/**
 * The chunked transfer coding (RFC 9112, 7.1), bit by bit. Extensions and trailers are read over and dropped. Strict: a size is
 * hexadecimal digits and nothing else, and every line ends in CRLF.
 */
export class ChunkedDecoder {
  #state: State = 'size';
  #sizeDigits = 0;
  #lineBytes = 0;
  #trailerLineBytes = 0;
  #left = 0;
  #consumed = 0;

  get done(): boolean {
    return this.#state === 'done';
  }

  /** Bytes of the last `decode` that belong to this body; what lies behind does not. */
  get consumed(): number {
    return this.#consumed;
  }

  /**
   * Moves the content in `bytes` to their front, and returns how much it is: one piece of body for one piece of network, without
   * a copy of it.
   * @throws Http1Error `Malformed`
   */
  decode(bytes: Uint8Array): number {
    let content = 0;
    let at = 0;
    while (at < bytes.byteLength && this.#state !== 'done') {
      if (this.#state !== 'data') {
        this.#step(bytes[at] ?? 0);
        at += 1;
        continue;
      }
      const end = Math.min(bytes.byteLength, at + this.#left);
      if (content !== at) bytes.copyWithin(content, at, end);
      content += end - at;
      this.#left -= end - at;
      at = end;
      if (this.#left === 0) this.#state = 'dataCr';
    }
    this.#consumed = at;
    return content;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'size':
        return this.#size(byte);
      case 'extension':
        return this.#extension(byte);
      case 'sizeLf':
        this.#expect(byte, lf);
        return this.#begin();
      case 'dataCr':
        this.#expect(byte, cr);
        this.#state = 'dataLf';
        return;
      case 'dataLf':
        this.#expect(byte, lf);
        this.#beginLine('size');
        return;
      case 'trailer':
        return this.#trailer(byte);
      case 'trailerLf':
        this.#expect(byte, lf);
        this.#state = this.#trailerLineBytes === 0 ? 'done' : 'trailer';
        this.#trailerLineBytes = 0;
        return;
      case 'data':
      case 'done':
    }
  }

  #size(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== undefined) {
      // Eight digits are four GiB.
      if (++this.#sizeDigits > 8) throw malformed('a chunk is too large');
      this.#left = this.#left * 16 + digit;
      return;
    }
    if (this.#sizeDigits === 0) throw malformed('a chunk has no size');
    if (byte === cr) this.#state = 'sizeLf';
    else if (byte === semicolon) this.#state = 'extension';
    else throw malformed('a chunk size is no number');
  }

  #extension(byte: number): void {
    if (byte === cr) this.#state = 'sizeLf';
    else if (isControl(byte)) throw malformed('a chunk extension holds a control character');
    else if (++this.#lineBytes > chunkLineBytesMax) throw malformed('a chunk extension is too long');
  }

  #begin(): void {
    if (this.#left === 0) this.#beginLine('trailer');
    else this.#state = 'data';
  }

  #beginLine(state: 'size' | 'trailer'): void {
    this.#state = state;
    this.#sizeDigits = 0;
    this.#lineBytes = 0;
    this.#left = 0;
  }

  #trailer(byte: number): void {
    if (byte === cr) {
      this.#state = 'trailerLf';
      return;
    }
    if (isControl(byte)) throw malformed('a trailer holds a control character');
    this.#trailerLineBytes += 1;
    if (++this.#lineBytes > trailerBytesMax) throw malformed('the trailers are too long');
  }

  #expect(byte: number, expected: number): void {
    if (byte !== expected) throw malformed('a line of the chunked body does not end in CRLF');
  }
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}

function isControl(byte: number): boolean {
  return (byte < 0x20 && byte !== tab) || byte === 0x7f;
}
