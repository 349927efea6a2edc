import { malformed } from './http1-error.ts';

/** Status line and header fields of a response (RFC 9112, 4 and 5), and what they say about the body behind them. */
export interface ResponseHead {
  readonly status: number;
  /** Several fields of one name are one value, joined by a comma; only `Set-Cookie` stays apart. */
  readonly headers: Headers;
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
 * Reads a head, its last CRLF included, without the empty line. Refuses what two parsers could read in two ways: bare LF, folded
 * lines, space before a colon, control characters, a length twice or beside a transfer coding (RFC 9112, 2.2, 5.1, 5.2, 6.3).
 * @throws Http1Error `Malformed`
 */
export function parseResponseHead(text: string): ResponseHead {
  const statusEnd = text.indexOf('\r\n');
  const [, minor, status] = statusLine.exec(text.slice(0, statusEnd)) ?? [];
  if (status === undefined) throw malformed('the status line is not one of HTTP/1.1');
  const fields: FramingFields = { length: undefined, coding: undefined };
  const headers = readFields(text, statusEnd + 2, fields);
  const framing = framingOf(Number(status), fields);
  const keptAlive = minor === '1' && framing.kind !== 'untilClose' && mayStay(headers);
  return { status: Number(status), headers, framing, keptAlive };
}

/** The reason phrase means nothing (RFC 9112, 4). */
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;

/** All fields at once: one search costs less than two for each. */
const fieldLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/** Fields that must not come twice: kept beside the headers, which would join them. */
interface FramingFields {
  length: string | undefined;
  coding: string | undefined;
}

function readFields(text: string, start: number, fields: FramingFields): Headers {
  if (!fieldLines.test(text.slice(start))) throw malformed('a header field is not a name, a colon and a value');
  const headers = new Headers();
  let count = 0;
  for (let at = start; at < text.length;) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    const name = text.slice(at, colon).toLowerCase();
    const value = text.slice(colon + 1, end);
    if (++count > responseFieldsMax) throw malformed(`more than ${responseFieldsMax} header fields`);
    see(fields, name, value);
    headers.append(name, value);
    at = end + 2;
  }
  return headers;
}

function see(fields: FramingFields, name: string, value: string): void {
  if (name === 'content-length') {
    if (fields.length !== undefined) throw malformed('the length is said twice');
    fields.length = value.trim();
  } else if (name === 'transfer-encoding') {
    if (fields.coding !== undefined) throw malformed('the transfer coding is said twice');
    fields.coding = value.trim().toLowerCase();
  }
}

const nothing: Framing = { kind: 'length', bytes: 0 };

/** RFC 9112, 6.3: which bytes are the body. Never two answers to that. */
function framingOf(status: number, { length, coding }: FramingFields): Framing {
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw malformed('the length is no number');
  if (coding !== undefined && length !== undefined) throw malformed('a length beside a transfer coding');
  if (coding !== undefined && coding !== 'chunked') throw malformed('a transfer coding other than chunked');
  if (status < 200 || status === 204 || status === 304) return nothing;
  if (coding !== undefined) return { kind: 'chunked' };
  return length === undefined ? { kind: 'untilClose' } : { kind: 'length', bytes: Number(length) };
}

function mayStay(headers: Headers): boolean {
  const connection = headers.get('connection');
  if (connection !== null && /(?:^|[\s,])close(?:$|[\s,])/i.test(connection)) return false;
  // A server that waits this short may be closing while we send.
  const keepAlive = headers.get('keep-alive');
  const keptSeconds = keepAlive === null ? undefined : /timeout=(\d{1,9})/i.exec(keepAlive)?.[1];
  return keptSeconds === undefined || Number(keptSeconds) > 1;
}
