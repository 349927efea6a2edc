import { Fields } from './fields.ts';
import { malformed } from './http1-error.ts';

/** Field lines of a head (RFC 9112, 5), with what must not be joined where it comes twice. */
export interface FieldLines {
  readonly fields: Fields;
  /** `Content-Length`, trimmed. */
  readonly length: string | undefined;
  /** `Transfer-Encoding`, trimmed, in small letters. */
  readonly coding: string | undefined;
  /** How many `Host` fields there are. */
  readonly hosts: number;
}

/** All fields at once: one search costs less than two for each. */
const fieldLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/**
 * Reads the lines from `start` on, each with its CRLF. Refuses what two parsers could read in two ways: bare LF, folded lines, space
 * before a colon, control characters, a length or a coding twice (RFC 9112, 2.2, 5.1, 5.2, 6.3).
 * @throws Http1Error `Malformed`
 */
export function readFieldLines(text: string, start: number, fieldsMax: number): FieldLines {
  const lines = text.slice(start);
  if (!fieldLines.test(lines)) throw malformed('a header field is not a name, a colon and a value');
  const fields = new Fields();
  let length: string | undefined;
  let coding: string | undefined;
  let hosts = 0;
  let count = 0;
  for (let at = 0; at < lines.length;) {
    const end = lines.indexOf('\r\n', at);
    const colon = lines.indexOf(':', at);
    const name = lines.slice(at, colon).toLowerCase();
    const value = trimmed(lines, colon + 1, end);
    if (++count > fieldsMax) throw malformed(`more than ${fieldsMax} header fields`);
    switch (name) {
      case 'content-length':
        if (length !== undefined) throw malformed('the length is said twice');
        length = value;
        break;
      case 'transfer-encoding':
        if (coding !== undefined) throw malformed('the transfer coding is said twice');
        coding = value.toLowerCase();
        break;
      case 'host':
        hosts += 1;
        break;
    }
    fields.appendParsed(name, value);
    at = end + 2;
  }
  return { fields, length, coding, hosts };
}

const space = 0x20;
const tab = 0x09;

/** Without the optional whitespace around a value (RFC 9110, 5.6.3), and without a copy for each side. */
function trimmed(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === space || code === tab;
}

const decimal = /^\d{1,15}$/;

/** @throws Http1Error `Malformed` unless it is digits, few enough for a number that is exact */
export function lengthOf(text: string): number {
  if (!decimal.test(text)) throw malformed('the length is no number');
  return Number(text);
}
