import { endsBehind } from './ends-behind.ts';
import { type FieldLines, lengthOf, readFieldLines } from './field-lines.ts';
import type { Fields } from './fields.ts';
import { malformed } from './http1-error.ts';

/** Request line and header fields of a request (RFC 9112, 3 and 5), and what they say about the body behind them. */
export interface ReceivedHead {
  readonly method: string;
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly headers: Fields;
  /** Bytes of the body; `undefined`: it is chunked. */
  readonly bodyBytes: number | undefined;
  /** Whether the client may send another request on this connection. */
  readonly keptAlive: boolean;
  /** 1 for HTTP/1.1. */
  readonly minor: 0 | 1;
  /** The client waits with the body until it is told to go on (RFC 9110, 10.1.1). */
  readonly waits: boolean;
}

/** The request is clear, but is none that this server speaks. */
export class NotSpoken extends Error {
  readonly status: 417 | 505;

  constructor(status: 417 | 505) {
    super(`the request cannot be answered but with ${status}`);
    this.name = 'NotSpoken';
    this.status = status;
  }
}

/** The layers refuse with a message from a hundred fields on; what is beyond this gets none. */
const fieldsMax = 512;

const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP\/(\d)\.(\d)$/;

/**
 * Reads a head, its last CRLF included, without the empty line. Refuses what two parsers could read in two ways.
 * @throws Http1Error `Malformed`
 * @throws NotSpoken
 */
export function parseReceivedHead(text: string): ReceivedHead {
  const lineEnd = text.indexOf('\r\n');
  const [, method, target, major, minorDigit] = requestLine.exec(text.slice(0, lineEnd)) ?? [];
  if (method === undefined || target === undefined) throw malformed('the request line is not one of HTTP/1.1');
  if (major !== '1' || (minorDigit !== '0' && minorDigit !== '1')) throw new NotSpoken(505);
  const minor = minorDigit === '1' ? 1 : 0;
  const lines = readFieldLines(text, lineEnd + 2, fieldsMax);
  const headers = lines.fields;
  const { authority, path, query } = readTarget(target);
  checkHost(lines, minor);
  // RFC 9112, 3.2.2: what an absolute target says of the host is what counts.
  if (authority !== undefined) headers.set('host', authority);
  return {
    method,
    path,
    query,
    headers,
    bodyBytes: bodyBytesOf(lines, minor),
    keptAlive: minor === 1 && !endsBehind(headers),
    minor,
    waits: minor === 1 && isExpectant(headers),
  };
}

interface Target {
  readonly authority: string | undefined;
  readonly path: string;
  readonly query: string;
}

const absolute = /^https?:\/\/([^/?]*)(.*)$/i;

/** RFC 9112, 3.2: origin form and absolute form. The others are for proxies of another kind, or for no resource. */
function readTarget(target: string): Target {
  if (target.includes('#')) throw malformed('a target has no fragment');
  if (target.startsWith('/')) return { authority: undefined, ...splitQuery(target) };
  const [, authority, rest] = absolute.exec(target) ?? [];
  if (authority === undefined || rest === undefined || !host.test(authority)) throw malformed('the target is no path');
  return { authority, ...splitQuery(rest.startsWith('/') ? rest : `/${rest}`) };
}

function splitQuery(target: string): { readonly path: string; readonly query: string } {
  const at = target.indexOf('?');
  return at === -1 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at) };
}

/** `uri-host [":" port]` (RFC 9110, 7.2), without user information. */
const host = /^(?:[0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

/** RFC 9112, 3.2: exactly one, and one that names something. HTTP/1.0 knew none. */
function checkHost({ fields, hosts }: FieldLines, minor: 0 | 1): void {
  if (hosts === 0 && minor === 0) return;
  if (hosts !== 1) throw malformed('a request has one Host');
  if (!host.test(fields.get('host') ?? '')) throw malformed('the Host is none');
}

/** RFC 9112, 6.3: which bytes are the body. Never two answers to that. */
function bodyBytesOf({ length, coding }: FieldLines, minor: 0 | 1): number | undefined {
  if (coding === undefined) return length === undefined ? 0 : lengthOf(length);
  if (length !== undefined) throw malformed('a length beside a transfer coding');
  if (coding !== 'chunked') throw malformed('a transfer coding other than chunked');
  if (minor === 0) throw malformed('HTTP/1.0 has no transfer coding');
  return undefined;
}

/** @throws NotSpoken when something else is expected */
function isExpectant(headers: Fields): boolean {
  const expected = headers.get('expect');
  if (expected === null) return false;
  if (expected.toLowerCase() !== '100-continue') throw new NotSpoken(417);
  return true;
}
