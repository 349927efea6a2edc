import type { Fields } from './fields.ts';
import { headAndBody } from './head-and-body.ts';

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

/**
 * The pieces to write, in order. Names and values need no check here: `Fields` holds none that ends a line.
 */
export function writeRequest(request: WireRequest, host: string): readonly Uint8Array[] {
  return headAndBody(headOf(request, host), request.body);
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
