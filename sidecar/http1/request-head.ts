import { Buffer } from 'node:buffer';
import type { Fields } from './fields.ts';

/** One request as it goes over the wire. */
export interface WireRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Neither `Host` nor anything that frames the body: this file writes those. */
  readonly headers: Fields;
  /** `undefined` for a method without one. */
  readonly body: Uint8Array | undefined;
}

/** Largest body that is copied behind its head, so that both are one write; a larger one is a write of its own. */
const joinedBytesMax = 131_072;

/**
 * The pieces to write, in order. Names and values need no check here: `Fields` holds none that ends a line.
 */
export function writeRequest(request: WireRequest, host: string): readonly Uint8Array[] {
  const { body } = request;
  const head = headOf(request, host);
  if (body === undefined || body.byteLength > joinedBytesMax) {
    const bytes = Buffer.from(head, 'latin1');
    return body === undefined ? [bytes] : [bytes, body];
  }
  const whole = Buffer.allocUnsafe(head.length + body.byteLength);
  whole.write(head, 'latin1');
  whole.set(body, head.length);
  return [whole];
}

function headOf({ method, target, headers, body }: WireRequest, host: string): string {
  let head = `${method} ${plainTarget(target)} HTTP/1.1\r\nhost: ${host}\r\n`;
  headers.forEach((value, name) => (head += `${name}: ${value}\r\n`));
  return body === undefined ? `${head}\r\n` : `${head}content-length: ${body.byteLength}\r\n\r\n`;
}

const visible = /^\/[\x21-\x7e]*$/;

/** A target is visible ASCII (RFC 9112, 3.2); anything else in it is percent-encoded, as a URL would be. */
function plainTarget(target: string): string {
  if (visible.test(target)) return target;
  const { pathname, search } = new URL(target, 'http://upstream.invalid');
  return `${pathname}${search}`;
}
