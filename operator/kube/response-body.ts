import type { Readable } from 'node:stream';

import { KubeError, type StatusBody } from './errors.ts';

/**
 * Reads a body whole. The pieces are zeroed and the result lies outside Node's shared pool: it may be a Secret.
 *
 * @throws KubeError `BadResponse` when it is longer than `bytesMax`; the rest is not read.
 */
export async function readBounded(body: Readable, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    size += piece.length;
    pieces.push(piece);
    if (size > bytesMax) {
      wipe(pieces);
      body.destroy();
      throw new KubeError('BadResponse', `the API server's answer is longer than ${bytesMax} bytes`);
    }
  }
  const whole = Buffer.allocUnsafeSlow(size);
  let offset = 0;
  for (const piece of pieces) offset += piece.copy(whole, offset);
  wipe(pieces);
  return whole;
}

function wipe(pieces: readonly Buffer[]): void {
  for (const piece of pieces) piece.fill(0);
}

/** Longest error body that is looked at. */
export const statusBytesMax = 256 * 1024;

/** The `Status` of a failed call; `undefined` when the body is anything else (a load balancer's page, nothing, too long). */
export async function readStatus(body: Readable): Promise<StatusBody | undefined> {
  try {
    return parseJson<StatusBody>(await readBounded(body, statusBytesMax), 'failed call');
  } catch {
    return undefined;
  }
}

/**
 * A JSON object that the API server sent. It validates what it stores against the schemas that our types come from, so that answers
 * are taken at their word and not checked again field by field.
 *
 * @throws KubeError `BadResponse`; the parser's own message would quote the text, so that it is dropped.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller's type argument is the point
export function parseJson<T extends object>(text: Buffer | string, what: string): T {
  const parsed = parseOrNull(typeof text === 'string' ? text : text.toString('utf8'));
  if (typeof parsed === 'object' && parsed !== null) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one place where answers get their type, see above
    return parsed as T;
  }
  throw new KubeError('BadResponse', `${what}: the API server did not send a JSON object`);
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
