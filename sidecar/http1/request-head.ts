import { Buffer } from 'node:buffer';
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
  readonly body: Uint8Array | StreamedBody | undefined;
}

/** A body that is sent as it comes. */
export interface StreamedBody {
  /** `undefined`: chunks say where it ends. */
  readonly declaredBytes: number | undefined;
  /** The next bytes; `undefined` after the last ones. Rejects when no more come. */
  read(): Promise<Uint8Array | undefined>;
  /** Nobody reads on. */
  cancel(): void;
}

export function isStreamed(body: WireRequest['body']): body is StreamedBody {
  return body !== undefined && !(body instanceof Uint8Array);
}

/**
 * The pieces to write, in order; of a streamed body none yet. Names and values need no check here: `Fields` holds none that ends a line.
 */
export function writeRequest(request: WireRequest, host: string): readonly Uint8Array[] {
  return headAndBody(headOf(request, host), isStreamed(request.body) ? undefined : request.body);
}

function headOf({ method, target, headers, body }: WireRequest, host: string): string {
  let head = `${method} ${plainTarget(target)} HTTP/1.1\r\nhost: ${host}\r\n`;
  headers.forEach((value, name) => (head += `${name}: ${value}\r\n`));
  return `${head}${framingOf(body)}\r\n`;
}

function framingOf(body: WireRequest['body']): string {
  if (body === undefined) return '';
  const bytes = isStreamed(body) ? body.declaredBytes : body.byteLength;
  return bytes === undefined ? 'transfer-encoding: chunked\r\n' : `content-length: ${bytes}\r\n`;
}

const lastChunk = Buffer.from('0\r\n\r\n');
const lineEnd = Buffer.from('\r\n');

/** What comes of a streamed body, as it goes over the wire; `undefined`: nothing more comes. */
export function writePiece({ declaredBytes }: StreamedBody, bytes: Uint8Array | undefined): readonly Uint8Array[] {
  if (bytes === undefined) return declaredBytes === undefined ? [lastChunk] : [];
  if (declaredBytes !== undefined) return [bytes];
  // An empty chunk would be the last one.
  return bytes.byteLength === 0 ? [] : [Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, lineEnd];
}

const visible = /^\/[\x21-\x7e]*$/;

/** A target is visible ASCII (RFC 9112, 3.2); anything else in it is percent-encoded, as a URL would be. */
function plainTarget(target: string): string {
  if (visible.test(target)) return target;
  const { pathname, search } = new URL(target, 'http://upstream.invalid');
  return `${pathname}${search}`;
}
