import type { ReadStream } from 'node:tty';
import { CliError } from './errors.ts';

const inputBytesMax = 65_536;

/** Reads all of standard input, bounded. The caller zeroes the buffer. */
export async function readAll(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const all = Buffer.allocUnsafeSlow(inputBytesMax);
  let length = 0;
  for await (const bytes of input) {
    if (length + bytes.byteLength > inputBytesMax)
      throw new CliError('Usage', `standard input is longer than ${inputBytesMax} bytes`);
    bytes.copy(all, length);
    bytes.fill(0);
    length += bytes.byteLength;
  }
  return all.subarray(0, length);
}

const enter = new Set([0x0a, 0x0d]);
const interrupt = 0x03;
const endOfInput = 0x04;
const backspaces = new Set([0x08, 0x7f]);

/** Asks on the terminal without echo. The caller zeroes the buffer. */
export function askSecret(terminal: ReadStream, say: (text: string) => void, question: string): Promise<Buffer> {
  say(question);
  terminal.setRawMode(true);
  const value = Buffer.allocUnsafeSlow(inputBytesMax);
  let length = 0;
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      terminal.off('data', onData);
      terminal.setRawMode(false);
      terminal.pause();
      say('\n');
      settle();
    };
    const onData = (chunk: Buffer): void => {
      for (const byte of chunk) {
        if (enter.has(byte)) return end(() => resolve(value.subarray(0, length)));
        if (byte === interrupt || byte === endOfInput)
          return end(() => reject(new CliError('Usage', 'nothing was stored')));
        if (backspaces.has(byte)) length = Math.max(0, length - 1);
        else if (length < inputBytesMax) value[length++] = byte;
      }
    };
    terminal.on('data', onData);
    terminal.resume();
  });
}

/** A yes-or-no question; anything but y or yes is no. */
export function confirm(terminal: ReadStream, say: (text: string) => void, question: string): Promise<boolean> {
  say(`${question} [y/N] `);
  return new Promise((resolve) => {
    terminal.resume();
    terminal.once('data', (chunk: Buffer) => {
      terminal.pause();
      resolve(/^y(?:es)?\s*$/iu.test(chunk.toString('utf8')));
    });
  });
}
