import { AnswerScanner, type ServerMessage } from './answer-scanner.ts';

/** Bytes that are read at a time. */
const sliceBytes = 256;

/** Reads an answer until it is known whether it is a result or which error. What comes after that is not looked at. */
export class StatusReader {
  readonly #scanner = new AnswerScanner();

  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength && !this.#scanner.knowsStatus; at += sliceBytes) {
      this.#scanner.feed(bytes, at, Math.min(at + sliceBytes, bytes.byteLength));
    }
  }

  read(): ServerMessage {
    return this.#scanner.read();
  }
}
