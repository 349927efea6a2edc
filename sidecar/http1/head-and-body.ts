import { Buffer } from 'node:buffer';

/** Largest piece that is copied behind what goes before it, so that both are one write; a larger one is a write of its own. */
export const joinedBytesMax = 131_072;

/** The pieces to write, in order: one where copying the body costs less than a second write. `head` is Latin-1. */
export function headAndBody(head: string, body: Uint8Array | undefined): readonly Uint8Array[] {
  if (body === undefined) return [Buffer.from(head, 'latin1')];
  if (body.byteLength > joinedBytesMax) return [Buffer.from(head, 'latin1'), body];
  const whole = Buffer.allocUnsafe(head.length + body.byteLength);
  whole.write(head, 0, 'latin1');
  whole.set(body, head.length);
  return [whole];
}
