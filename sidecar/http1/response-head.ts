import { endsBehind } from './ends-behind.ts';
import { type FieldLines, lengthOf, readFieldLines } from './field-lines.ts';
import type { Fields } from './fields.ts';
import { malformed } from './http1-error.ts';

/** Status line and header fields of a response (RFC 9112, 4 and 5), and what they say about the body behind them. */
export interface ResponseHead {
  readonly status: number;
  readonly headers: Fields;
  readonly framing: Framing;
  /** Whether the connection may carry another request. */
  readonly keptAlive: boolean;
}

export type Framing =
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'untilClose' };

export const responseFieldsMax = 200;

/**
 * Reads a head, its last CRLF included, without the empty line. Refuses what two parsers could read in two ways.
 * @throws Http1Error `Malformed`
 */
export function parseResponseHead(text: string): ResponseHead {
  const statusEnd = text.indexOf('\r\n');
  const [, minor, statusText] = statusLine.exec(text.slice(0, statusEnd)) ?? [];
  if (statusText === undefined) throw malformed('the status line is not one of HTTP/1.1');
  const status = Number(statusText);
  const lines = readFieldLines(text, statusEnd + 2, responseFieldsMax);
  const framing = framingOf(status, lines);
  const keptAlive = minor === '1' && framing.kind !== 'untilClose' && mayStay(lines.fields);
  return { status, headers: lines.fields, framing, keptAlive };
}

/** The reason phrase means nothing (RFC 9112, 4). */
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;

const nothing: Framing = { kind: 'length', bytes: 0 };

/** RFC 9112, 6.3: which bytes are the body. Never two answers to that. */
function framingOf(status: number, { length, coding }: FieldLines): Framing {
  const bytes = length === undefined ? undefined : lengthOf(length);
  if (coding !== undefined && length !== undefined) throw malformed('a length beside a transfer coding');
  if (coding !== undefined && coding !== 'chunked') throw malformed('a transfer coding other than chunked');
  if (status < 200 || status === 204 || status === 304) return nothing;
  if (coding !== undefined) return { kind: 'chunked' };
  return bytes === undefined ? { kind: 'untilClose' } : { kind: 'length', bytes };
}

function mayStay(headers: Fields): boolean {
  if (endsBehind(headers)) return false;
  // A server that waits this short may be closing while we send.
  const keepAlive = headers.get('keep-alive');
  const keptSeconds = keepAlive === null ? undefined : /timeout=(\d{1,9})/i.exec(keepAlive)?.[1];
  return keptSeconds === undefined || Number(keptSeconds) > 1;
}
