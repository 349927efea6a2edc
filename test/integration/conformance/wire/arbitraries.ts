/** MCP traffic as somebody might write it by hand: odd, and still valid. */
import fc from 'fast-check';

const spaces = fc.array(fc.constantFrom('', '', ' ', '\n', '\t', '\r\n', '   '), { minLength: 5, maxLength: 20 });
/** Numbers that a JSON library reads and would write in another way. */
const oddNumbers = fc.constantFrom('1.0', '1E+2', '-0', '12345678901234567890', '0.10', '1e-7');
const strings = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => JSON.stringify(text));
const escaped = fc.string({ maxLength: 8 }).map((text) => `"${text.split('').map(unicodeEscape).join('')}"`);
const json = fc.json({ maxDepth: 3, stringUnit: 'grapheme' });
const values = fc.oneof(json, oddNumbers, strings, escaped);

function unicodeEscape(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** A tools/call with its members in any order, spaced and escaped in any way. */
export const toolCalls: fc.Arbitrary<Buffer> = fc
  .record({ id: fc.oneof(fc.integer(), strings), value: values, order: fc.integer({ min: 0, max: 3 }), spaces })
  .map(({ id, value, order, spaces: gaps }) => {
    const params = [
      '"params"',
      ':',
      '{',
      '"name"',
      ':',
      '"t"',
      ',',
      '"arguments"',
      ':',
      '{',
      '"a"',
      ':',
      value,
      '}',
      '}',
    ];
    const members = [['"jsonrpc"', ':', '"2.0"'], ['"id"', ':', String(id)], ['"method"', ':', '"tools/call"'], params];
    const turned = [...members.slice(order), ...members.slice(0, order)];
    const tokens = ['{', ...turned.flatMap((member, index) => (index === 0 ? member : [',', ...member])), '}'];
    return Buffer.from(tokens.map((token, index) => `${gaps[index % gaps.length]}${token}`).join(''));
  });

/** What a field value may be made of (RFC 9110, 5.5), without the spaces around it, which are not part of it. */
const fieldValues = fc.stringMatching(/^[!-~](?:[ -~\t]{0,30}[!-~])?$/);
const words = fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/);

/** The header fields of MCP and others, each at most once. */
export const requestFields = fc
  .record(
    {
      Accept: fc.constantFrom(
        'application/json, text/event-stream',
        'text/event-stream ,application/json;q=0.5',
        'APPLICATION/json,\ttext/event-stream; charset=utf-8',
        '*/*',
      ),
      'MCP-Protocol-Version': fc.constantFrom('2025-03-26', '2025-06-18', '2025-11-25', '1999-01-01'),
      'Mcp-Session-Id': fc.stringMatching(/^[!-~]{1,40}$/),
      'Last-Event-ID': fieldValues,
      'mcp-method': fieldValues,
      'MCP-NAME': fc.oneof(fieldValues, fc.constant('=?base64?w6k=?=')),
      'User-Agent': fieldValues,
      traceparent: fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    },
    { requiredKeys: [] },
  )
  .chain((known) =>
    fc
      .tuple(
        fc.dictionary(
          words.map((word) => `Mcp-Param-${word}`.toLowerCase()),
          fieldValues,
          { maxKeys: 3 },
        ),
        fc.dictionary(
          words.map((word) => `x-other-${word}`.toLowerCase()),
          fieldValues,
          { maxKeys: 3 },
        ),
      )
      .map(([params, others]) => Object.entries({ ...known, ...params, ...others })),
  );

/** Statuses that come with a body; 401 and 403 are answers to a key, which are not passed on as they are. */
const bodied = `200 201 202 203 300 301 302 303 307 308 400 402 404 405 406 408 409 410 411 412 413 414 415 416 417 418 421 422 423
  425 426 428 429 431 451 500 501 502 503 504 505 507 511 599`;
export const statuses = fc.constantFrom(...bodied.split(/\s+/).map(Number));

export const responseFields = fc
  .record(
    {
      'Mcp-Session-Id': fc.stringMatching(/^[!-~]{1,40}$/),
      'Cache-Control': fc.constantFrom('no-store', 'max-age=0, private'),
      'Retry-After': fc.constant('17'),
      Allow: fc.constant('POST'),
      Location: fc.constant('http://127.0.0.1:1/mcp/'),
      ETag: fc.constant('W/"a b"'),
      Vary: fc.constant('Accept, Origin'),
      Server: fieldValues,
      Date: fc.constant('Thu, 01 Jan 1970 00:00:00 GMT'),
    },
    { requiredKeys: [] },
  )
  .chain((known) =>
    fc
      .dictionary(
        words.map((word) => `x-other-${word}`.toLowerCase()),
        fieldValues,
        { maxKeys: 3 },
      )
      .map((others) => Object.entries({ ...known, ...others })),
  );

export const mediaTypes = fc.constantFrom(
  'application/json',
  'application/json; charset=utf-8',
  'text/plain',
  'text/html; charset=iso-8859-1',
  'application/octet-stream',
);

/** Any bytes, cut in any way: what a server writes is no business of a proxy, valid or not. */
export const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.uint8Array({ minLength: 20_000, maxLength: 70_000 }),
  fc.json().map((text) => new TextEncoder().encode(text)),
);

const texts = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll(/[\r\n]/g, ''));
const lineOf = fc.oneof(
  texts.map((text) => `data: ${text}`),
  texts.map((text) => `data:${text}`),
  texts.map((text) => `: said ${text}`),
  texts.map((text) => `id: ${text}`),
  fc.constantFrom('data', 'id: 1', 'id:', 'retry: 500', 'event: message', 'event:', 'foo: bar', ':said'),
);

/** Event streams with every end of line, comments, empty data and fields that nobody knows. */
export const eventStreams = fc
  .array(fc.tuple(fc.array(lineOf, { minLength: 1, maxLength: 5 }), fc.constantFrom('\n', '\r', '\r\n')), {
    minLength: 1,
    maxLength: 6,
  })
  .map((events) => Buffer.from(events.map(([lines, end]) => [...lines, ''].join(end) + end).join('')));

/** Cuts bytes at the given places; places beyond the end cut nothing. */
export function cut(bytes: Uint8Array, places: readonly number[]): Buffer[] {
  const inside = [...new Set(places.map((place) => place % (bytes.byteLength + 1)))].toSorted((a, b) => a - b);
  const edges = [0, ...inside, bytes.byteLength];
  return edges.slice(1).flatMap((end, index) => {
    const piece = Buffer.from(bytes.subarray(edges[index], end));
    return piece.byteLength === 0 ? [] : [piece];
  });
}

export const places = fc.array(fc.nat(100_000), { maxLength: 6 });
