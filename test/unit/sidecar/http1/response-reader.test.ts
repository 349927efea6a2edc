import { Buffer } from 'node:buffer';
import { request as httpRequest } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Http1Error } from '#sidecar/http1/http1-error.ts';
import { headBytesMax, ResponseReader } from '#sidecar/http1/response-reader.ts';
import { RawServer } from './node-dial.ts';
import { pieces } from './pieces.ts';

type Outcome = 'complete' | 'incomplete' | 'refused';

interface Read {
  readonly outcome: Outcome;
  readonly status: number | undefined;
  readonly body: string;
  readonly excess: boolean;
}

/** What a reader makes of bytes in these pieces, when the server closes behind them. */
function read(parts: readonly Buffer[]): Read {
  const reader = new ResponseReader();
  const content: Buffer[] = [];
  let outcome: Outcome = 'complete';
  let excess = false;
  try {
    for (const part of parts) {
      if (reader.done) excess ||= part.byteLength > 0;
      else content.push(Buffer.from(reader.feed(Buffer.from(part)) ?? []));
      excess ||= reader.excess;
    }
    if (!reader.done) reader.end();
  } catch (error) {
    if (!(error instanceof Http1Error)) throw error;
    outcome = error.code === 'BrokenOff' ? 'incomplete' : 'refused';
  }
  return { outcome, status: reader.head?.status, body: Buffer.concat(content).toString('latin1'), excess };
}

function readText(text: string): Read {
  return read([Buffer.from(text, 'latin1')]);
}

describe('a response', () => {
  test('is read whole from one piece', () => {
    expect(readText('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc')).toEqual({
      outcome: 'complete',
      status: 200,
      body: 'abc',
      excess: false,
    });
  });

  test('comes behind answers that are not the final one', () => {
    const text =
      'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na';
    expect(readText(text)).toMatchObject({ outcome: 'complete', status: 200, body: 'a' });
  });

  test('ends with the connection when nothing else says where', () => {
    expect(readText('HTTP/1.1 200 OK\r\n\r\nabc')).toMatchObject({ outcome: 'complete', body: 'abc' });
  });

  test.each([
    ['no byte', ''],
    ['half a head', 'HTTP/1.1 200 OK\r\nContent-'],
    ['a body shorter than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab'],
    ['a chunked body without its end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
    ['an interim answer alone', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('is incomplete with %s', (_name, text) => {
    expect(readText(text).outcome).toBe('incomplete');
  });

  test.each([
    ['a body longer than its length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd'],
    ['another response behind it', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['bytes behind the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx'],
    ['a body where there is none', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'],
  ])('tells bytes that are not its own: %s', (_name, text) => {
    expect(readText(text)).toMatchObject({ outcome: 'complete', excess: true });
  });

  test.each([
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['lines that end in LF alone', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['a head without an end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(headBytesMax)}`],
    ['interim answers without an end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(3_000)],
  ])('is refused: %s', (_name, text) => {
    expect(readText(text).outcome).toBe('refused');
  });

  test('does not take bytes of a long body for a long head', () => {
    const body = 'x'.repeat(headBytesMax * 2);
    const text = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect(read(pieces(text, [10]))).toMatchObject({ outcome: 'complete', body });
  });
});

const response = fc
  .record({
    status: fc.constantFrom(200, 202, 204, 304, 400, 404, 500),
    framing: fc.constantFrom('length', 'chunked', 'none'),
    interim: fc.boolean(),
    body: fc.string({ maxLength: 200, unit: 'binary-ascii' }),
    name: fc.constantFrom('x-a', 'Set-Cookie', 'CONTENT-TYPE', 'Keep-Alive'),
    value: fc.string({ maxLength: 30, unit: fc.constantFrom('a', 'b', ' ', ',', ';', '=', '"', '\t') }),
  })
  .map(({ status, framing, interim, body, name, value }) => {
    const lines = [`HTTP/1.1 ${status} X`, `${name}: ${value}`];
    if (framing === 'length') lines.push(`Content-Length: ${body.length}`);
    if (framing === 'chunked') lines.push('Transfer-Encoding: chunked');
    const content = framing === 'chunked' ? chunked(body) : body;
    const before = interim ? 'HTTP/1.1 103 X\r\nLink: <x>\r\n\r\n' : '';
    return `${before}${lines.join('\r\n')}\r\n\r\n${content}`;
  });

function chunked(body: string): string {
  const half = Math.ceil(body.length / 2);
  const parts = [body.slice(0, half), body.slice(half)].filter((part) => part !== '');
  return `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
}

/** A response in which a piece is gone, doubled, or replaced by what confuses parsers. */
const damaged = fc
  .tuple(
    response,
    fc.nat(),
    fc.nat(12),
    fc.oneof(
      fc.constantFrom('', '\r', '\n', '\r\n', ' ', '\0', ':', ',', '\r\n\r\n', 'Transfer-Encoding: chunked\r\n'),
      fc.constantFrom('Content-Length: 1\r\n', '0', '-', '+1', 'ffffffff', '\t', ';', 'HTTP/1.1 100 X\r\n\r\n'),
      fc.string({ maxLength: 4, unit: 'binary-ascii' }),
    ),
  )
  .map(([text, place, length, replacement]) => {
    const at = place % (text.length + 1);
    return text.slice(0, at) + replacement + text.slice(at + length);
  });

const cuts = fc.array(fc.nat(), { maxLength: 10 });

describe('whatever comes', () => {
  test('is read the same however it is cut', () => {
    const property = fc.property(fc.oneof(response, damaged), cuts, (text, places) => {
      const whole = readText(text);
      const cut = read(pieces(text, places));
      expect(cut.outcome).toBe(whole.outcome);
      // What came before the mistake may have been handed out already.
      if (whole.outcome !== 'refused') expect(cut).toEqual(whole);
      else expect(cut.body.startsWith(whole.body)).toBe(true);
    });
    fc.assert(property, { numRuns: 3_000 });
  });

  test('that is no response ends in an error of ours', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array).toString('latin1'));
    fc.assert(
      fc.property(bytes, (text) => {
        expect(readText(text).outcome).not.toBe('complete');
      }),
      { numRuns: 2_000 },
    );
  });

  test('is read as Node reads it, or refused', async () => {
    let text = '';
    await using server = await RawServer.start((socket) => socket.end(text, 'latin1'));
    const property = fc.asyncProperty(fc.oneof(response, damaged), async (sent) => {
      text = sent;
      const ours = readText(sent);
      // What is behind a response ends the connection here, and is an error there.
      if (ours.outcome !== 'complete' || ours.excess) return;
      const node = await readByNode(server.port);
      expect({ status: node.status, body: node.body }).toEqual({ status: ours.status, body: ours.body });
    });
    await fc.assert(property, { numRuns: 400 });
  });
});

async function readByNode(port: number): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', agent: false }, (incoming) => {
      const parts: Buffer[] = [];
      incoming.on('data', (part: Buffer) => parts.push(part));
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(parts).toString('latin1') }),
      );
    });
    request.on('error', reject);
    request.end();
  });
}
