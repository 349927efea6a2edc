/** Requests as no HTTP library writes them, over raw sockets: each has one expected answer, and none carries another one along. */
import { beforeAll, expect, test } from 'vitest';
import { BrokerDouble, granted } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, sendRaw } from './support/wire.ts';

beforeAll(buildOnce);

const body = call('x');
const start = 'POST /mcp HTTP/1.1';
const host = 'Host: x';
const fields = ['Authorization: Bearer alice', 'Content-Type: application/json'];
const length = `Content-Length: ${body.length}`;
const chunked = 'Transfer-Encoding: chunked';
const size = body.length.toString(16);
/** What would be answered to mallory if any part of a request were taken for the next one. */
const smuggled = 'POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mallory\r\nContent-Length: 0\r\n\r\n';

function raw(lines: readonly string[], content = body): string {
  return [...lines, '', content].join('\r\n');
}

/** A request with a head as usual and these lines more. */
function withLines(lines: readonly string[], content = body): string {
  return raw([start, host, ...fields, ...lines], content);
}

function withStart(line: string): string {
  return raw([line, host, ...fields, length]);
}

function withHost(line: string): string {
  return raw([start, line, ...fields, length]);
}

const refused: Record<string, readonly [string, number]> = {
  'an absolute target with another path': [withStart('POST http://x/admin HTTP/1.1'), 404],
  'an authority as target': [withStart('CONNECT x:80 HTTP/1.1'), 400],
  'an asterisk as target': [withStart('OPTIONS * HTTP/1.1'), 400],
  'a target without a slash': [withStart('POST mcp HTTP/1.1'), 400],
  'a target with a fragment': [withStart('POST /mcp#x HTTP/1.1'), 400],
  'a target with an encoded slash': [withStart('POST /%2fmcp HTTP/1.1'), 404],
  'tabs in the request line': [withStart('POST\t/mcp\tHTTP/1.1'), 400],
  'two spaces in the request line': [withStart('POST  /mcp HTTP/1.1'), 400],
  'HTTP/1.2': [withStart('POST /mcp HTTP/1.2'), 505],
  'HTTP/0.9': ['GET /mcp\r\n\r\n', 400],
  'the preface of HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  'a method in small letters': [withStart('post /mcp HTTP/1.1'), 405],
  'a method of 300 letters': [withStart(`${'P'.repeat(300)} /mcp HTTP/1.1`), 400],
  'a target of 20 KB': [withStart(`POST /mcp?${'x'.repeat(20_000)} HTTP/1.1`), 431],
  'lines that end in LF alone': [withLines([length]).replaceAll('\r\n', '\n'), 400],
  'a folded first line': [raw([start, ' X: y', host, ...fields, length]), 400],
  'a field without a name': [withLines([length, ': x'], body + smuggled), 400],
  'a field without a colon': [withLines([length, 'XA'], body + smuggled), 400],
  'a space in a name': [withLines([length, 'X A: x'], body + smuggled), 400],
  'a NUL in a name': [withLines([length, 'X\0A: x'], body + smuggled), 400],
  'a delimiter in a name': [withLines([length, 'X(A): x'], body + smuggled), 400],
  '101 fields': [withLines([length, ...Array.from({ length: 97 }, (_item, index) => `X-${index}: 1`)]), 431],
  'an empty Host': [withHost('Host:'), 400],
  'a Host with a space': [withHost('Host: a b'), 400],
  'a Host with a path': [withHost('Host: x/admin?'), 400],
  'a Host with a user': [withHost('Host: admin@x'), 400],
  'two Hosts': [withLines([length, 'Host: y']), 400],
  'no Host': [raw([start, ...fields, length]), 400],
  'a target with bytes beyond ASCII': [withStart('POST /mcp?\xff HTTP/1.1'), 400],
  'an expectation that nobody can meet': [withLines([length, 'Expect: a-wonder']), 417],
  'the same Content-Length twice': [withLines([length, length], body + smuggled), 400],
  'an empty Content-Length': [withLines(['Content-Length:'], smuggled), 400],
  'a negative Content-Length': [withLines(['Content-Length: -1'], smuggled), 400],
  'a Content-Length beyond all numbers': [withLines(['Content-Length: 184467440737095516170'], smuggled), 400],
  'a Content-Length with a space inside': [withLines(['Content-Length: 1 0'], smuggled), 400],
  'chunked twice in two fields': [withLines([chunked, chunked], `${size}\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'chunked twice in one field': [withLines([`${chunked}, chunked`], `${size}\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'gzip, chunked': [withLines(['Transfer-Encoding: gzip, chunked'], `${size}\r\n${body}\r\n0\r\n\r\n`), 400],
  'identity and a length': [withLines([length, 'Transfer-Encoding: identity'], body + smuggled), 400],
  'an empty coding and a length': [withLines([length, 'Transfer-Encoding:'], body + smuggled), 400],
  'a vertical tab before chunked': [withLines(['Transfer-Encoding: \v chunked'], `0\r\n\r\n${smuggled}`), 400],
  'a chunked body in HTTP/1.0': [
    raw(['POST /mcp HTTP/1.0', host, ...fields, chunked], `${size}\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    400,
  ],
  'a chunk beyond all numbers': [withLines([chunked], `fffffffffffffffff\r\n${body}`), 400],
  'a negative chunk': [withLines([chunked], `-1\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'a chunk in C notation': [withLines([chunked], `0x${size}\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'a space before the size of a chunk': [withLines([chunked], ` ${size}\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'chunks that end in LF alone': [withLines([chunked], `${size}\n${body}\n0\n\n${smuggled}`), 400],
  'a LF in a chunk extension': [withLines([chunked], `${size};a\nb\r\n${body}\r\n0\r\n\r\n${smuggled}`), 400],
  'a chunk longer than its size': [withLines([chunked], `${size}\r\n${body}XX0\r\n\r\n${smuggled}`), 400],
  'a GET with a body': [raw(['GET /mcp HTTP/1.1', host, ...fields, length]), 400],
  'a DELETE with a body': [raw(['DELETE /mcp HTTP/1.1', host, ...fields, length]), 400],
};

/** What is unusual and means one thing only. */
const served: Record<string, string> = {
  'an empty line before it': `\r\n${withStart('POST /mcp HTTP/1.1')}`,
  'an absolute target': withStart('POST http://other.example/mcp HTTP/1.1'),
  'HTTP/1.0': withStart('POST /mcp HTTP/1.0'),
  'a tab before chunked': withLines(['Transfer-Encoding:\tchunked'], `${size}\r\n${body}\r\n0\r\n\r\n`),
  CHUNKED: withLines(['Transfer-Encoding: CHUNKED'], `${size}\r\n${body}\r\n0\r\n\r\n`),
  'a chunk extension': withLines([chunked], `${size};a="b\\"c"\r\n${body}\r\n0\r\n\r\n`),
  Transfer_Encoding: withLines([length, 'Transfer_Encoding: chunked']),
  'bytes beyond ASCII in a value': withLines([length, 'X-A: \xff']),
  'an upgrade to HTTP/2': withLines([
    length,
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AA',
  ]),
  'an upgrade to a WebSocket': withLines([
    length,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: AA==',
  ]),
};

async function setUp() {
  const broker = await BrokerDouble.start();
  const upstream = await Upstream.recording();
  const sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  return {
    broker,
    upstream,
    metrics: async () => sidecar.metrics(),
    send: async (text: string) => (await sendRaw(sidecar.port, Buffer.from(text, 'latin1'), 200)).text,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

function statuses(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

test('each head that is not in order has its answer, once, and reaches nobody', async () => {
  await using world = await setUp();
  const answers = await Promise.all(
    Object.entries(refused).map(async ([name, [text]]) => [name, statuses(await world.send(text))]),
  );
  expect(answers).toEqual(Object.entries(refused).map(([name, [, status]]) => [name, [status]]));
  expect(world.upstream.received).toEqual([]);
  expect(await world.metrics()).toMatch(/^mcpkeyring_unreadable_requests_total\{code="417"\} 1$/m);
  expect(world.broker.leaseRequests.filter((request) => request.credential === 'mallory')).toEqual([]);
});

test('what is unusual but clear is served, and nothing of it belongs to the connection behind', async () => {
  await using world = await setUp();
  const answers = await Promise.all(
    Object.entries(served).map(async ([name, text]) => [name, statuses(await world.send(text))]),
  );
  expect(answers).toEqual(Object.keys(served).map((name) => [name, [200]]));
  expect(world.upstream.received.map((seen) => [seen.method, seen.url, seen.body])).toEqual(
    Object.keys(served).map(() => ['POST', '/mcp', body]),
  );
  const connectionOnly = /^(?:upgrade|http2-settings|transfer[-_]encoding|te|trailer|connection)$/i;
  const names = world.upstream.received.flatMap((seen) => seen.rawHeaders.filter((_text, index) => index % 2 === 0));
  expect(names.filter((name) => connectionOnly.test(name))).toEqual([]);
});

test('trailers are part of no request', async () => {
  await using world = await setUp();
  const trailers = 'X-Api-Key: forged\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n';
  const text = await world.send(
    withLines([chunked, 'Trailer: X-Api-Key'], `${size}\r\n${body}\r\n0\r\n${trailers}${smuggled}`),
  );
  // What follows the trailers is a request of its own, from the same client.
  expect(statuses(text)).toEqual([200, 401]);
  expect(world.upstream.received).toHaveLength(1);
  expect(JSON.stringify(world.upstream.received)).not.toContain('forged');
});

test('the chunked body of a GET is no request', async () => {
  await using world = await setUp();
  const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
  const text = await world.send(raw(['GET /mcp HTTP/1.1', host, ...fields, chunked], chunk));
  expect(statuses(text).length).toBeLessThanOrEqual(1);
  expect(world.broker.leaseRequests.filter((request) => request.credential === 'mallory')).toEqual([]);
});
