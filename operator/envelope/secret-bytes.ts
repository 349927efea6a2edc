import { inspect } from 'node:util';

import { offHeapBuffer } from '#cli/contract/off-heap-buffer.ts';

/**
 * Owner of bytes that must not outlive their use. They are allocated outside Node's shared pool and V8's moving heap, cannot be printed, serialised or
 * logged, and are zeroed by `dispose` (use `using`). Reading after that throws.
 */
export class SecretBytes implements Disposable {
  #bytes: Buffer | undefined;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** `length` zero bytes for the caller to fill in through `bytes`. */
  static alloc(length: number): SecretBytes {
    return new SecretBytes(offHeapBuffer(length));
  }

  /** Copies `source`, then zeroes it: the caller gives it up. */
  static takeFrom(source: Uint8Array): SecretBytes {
    const bytes = offHeapBuffer(source.byteLength);
    bytes.set(source);
    source.fill(0);
    return new SecretBytes(bytes);
  }

  /** A view, valid until `dispose`. Never turn it into a string. */
  get bytes(): Buffer {
    if (this.#bytes === undefined) throw new Error('SecretBytes used after it was zeroed');
    return this.#bytes;
  }

  get byteLength(): number {
    return this.bytes.byteLength;
  }

  [Symbol.dispose](): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
