/** Nothing that is not ours to change is changed: bytes in, bytes out, both ways, over real sockets. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SessionMarks } from '#sidecar/proxy/session-marks.ts';
import { userOf } from '#sidecar/proxy/sessions.ts';
import { verifies } from '#test/requirements.ts';
import { github, mcpServer } from '#test/support/broker-world.ts';
import { buildOnce } from '../sidecar/support/sidecar-process.ts';
import { outside, type RealBroker, startRealBroker, upstreamAuthorization } from './suite/real-broker.ts';
import * as arbitrary from './wire/arbitraries.ts';
import type { RawMessage } from './wire/http-reader.ts';
import { exchange, open, type RawCall } from './wire/raw-client.ts';
import { throughGateway, throughSidecar, type Way } from './wire/ways.ts';

type Fields = RawMessage['fields'];

/** Without shrinking: a smaller case says little more, and each costs a round trip. */
const rounds = { numRuns: 150, endOnFailure: true };
const body = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}');

let real: RealBroker;

beforeAll(async () => {
  await buildOnce();
  real = await startRealBroker();
});
afterAll(() => real?.[Symbol.asyncDispose]());

function credential(): Fields {
  return [['Authorization', real.authorization]];
}

function ask(more: Partial<RawCall> = {}): RawCall {
  const fields: Fields = [...credential(), ['Content-Type', 'application/json'], ...(more.fields ?? [])];
  return { body, ...more, fields };
}

/** Names are without case, and the order of different names says nothing (RFC 9110, 5.1 and 5.3). */
function compared(fields: Fields, without: readonly string[]): string[] {
  return fields
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !without.includes(name))
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted();
}

interface Answer {
  readonly status: number;
  readonly fields: Fields;
  readonly pieces: readonly Buffer[];
  readonly framing: string;
}

async function respond(socket: Socket, { status, fields, pieces, framing }: Answer): Promise<void> {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const framings: Readonly<Record<string, string>> = {
    length: `Content-Length: ${length}`,
    chunked: 'Transfer-Encoding: chunked',
    close: 'Connection: close',
  };
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(Buffer.from(`HTTP/1.1 ${status} Any words\r\n${lines}${framings[framing]}\r\n\r\n`, 'latin1'));
  for (const piece of pieces) {
    socket.write(framing === 'chunked' ? chunk(piece) : piece);
    await sleep(0);
  }
  if (framing === 'chunked') socket.write('0\r\n\r\n');
  if (framing === 'close') socket.end();
}

function chunk(piece: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${piece.byteLength.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
}

const eventHead = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

describe.each([
  { name: 'sidecar', begin: throughSidecar },
  { name: 'gateway', begin: throughGateway },
])('through the $name', ({ name, begin }) => {
  let way: Way;
  /** Clients have the server's ids of sessions with the mark of their user behind them. */
  const asClient = (fields: Fields): Fields => {
    const server = mcpServer(name === 'sidecar' ? github : outside);
    const marks = new SessionMarks(real.world.options.sessionKeyOf(server), name === 'sidecar' ? github : outside);
    const user = userOf(real.alice);
    return fields.map(([field, value]) =>
      field === 'Mcp-Session-Id' ? [field, marks.mark({ id: value, elicitsUrl: false }, user)] : [field, value],
    );
  };
  beforeAll(async () => {
    way = await begin(real);
  });
  afterAll(() => way?.[Symbol.asyncDispose]());

  describe(verifies('mcp:02-pass-through'), () => {
    const answered = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}';

    /** Those of the connection to the server, the key, and that the answer must be one that can be looked at. */
    const ownUp = ['host', 'content-length', 'authorization', 'accept-encoding'];

    test('a request arrives with the bytes of its body and the fields of its head, and with no other', async () => {
      way.upstream.answer = (_request, socket) => void socket.write(answered);
      await fc.assert(
        fc.asyncProperty(arbitrary.toolCalls, arbitrary.requestFields, async (message, fields) => {
          const call = ask({ body: message, fields, target: `${way.path}?a=%2F&b=%C3%A9+c&&=` });
          const { status } = await exchange(way.port, { ...call, fields: asClient(call.fields ?? []) });
          const seen = way.upstream.received.at(-1)!;
          expect(status).toBe(200);
          expect(seen.start).toBe('POST /mcp?a=%2F&b=%C3%A9+c&&= HTTP/1.1');
          expect(seen.body.equals(message)).toBe(true);
          expect(compared(seen.fields, ownUp)).toEqual(compared(call.fields, ownUp));
          expect(
            compared(seen.fields, []).filter((line) =>
              /^(?:accept-encoding|authorization|host|content-length):/.test(line),
            ),
          ).toEqual([
            'accept-encoding: identity',
            `authorization: ${upstreamAuthorization}`,
            `content-length: ${message.byteLength}`,
            `host: ${way.host}`,
          ]);
        }),
        rounds,
      );
    });

    test('GET and DELETE arrive with the fields of their head and without a body', async () => {
      way.upstream.answer = (_request, socket) =>
        void socket.write('HTTP/1.1 405 No\r\nAllow: POST\r\nContent-Length: 2\r\n\r\nno');
      await fc.assert(
        fc.asyncProperty(fc.constantFrom('GET', 'DELETE'), arbitrary.requestFields, async (method, fields) => {
          const call = { method, target: way.path, fields: [...credential(), ...fields] as Fields };
          const response = await exchange(way.port, { ...call, fields: asClient(call.fields) });
          const seen = way.upstream.received.at(-1)!;
          expect(response.status).toBe(405);
          expect(response.body.toString()).toBe('no');
          expect(seen.start).toBe(`${method} /mcp HTTP/1.1`);
          expect(seen.body.byteLength).toBe(0);
          expect(compared(seen.fields, ownUp)).toEqual(compared(call.fields, ownUp));
        }),
        { ...rounds, numRuns: 40 },
      );
    });

    test('a response arrives with its status, the bytes of its body and the fields of its head, and with no other', async () => {
      const ownDown = ['connection', 'keep-alive', 'content-length', 'transfer-encoding', 'date'];
      await fc.assert(
        fc.asyncProperty(
          arbitrary.statuses,
          fc.tuple(arbitrary.responseFields, arbitrary.mediaTypes),
          fc.tuple(arbitrary.bodies, arbitrary.places, fc.constantFrom('length', 'chunked', 'close')),
          async (status, [more, mediaType], [bytes, places, framing]) => {
            // Redirects are not followed, and the gateway does not say where they lead.
            fc.pre(name === 'sidecar' || status < 300 || status >= 400);
            const fields = [...more, ['Content-Type', mediaType]] as Fields;
            const pieces = arbitrary.cut(bytes, places);
            way.upstream.answer = (_request, socket) => respond(socket, { status, fields, pieces, framing });
            const response = await exchange(way.port, ask({ target: way.path }));
            expect(response.status).toBe(status);
            expect(response.body.equals(bytes)).toBe(true);
            expect(compared(response.fields, ownDown)).toEqual(compared(asClient(fields), ownDown));
          },
        ),
        rounds,
      );
    });

    test('an answer without a body stays one', async () => {
      for (const status of [202, 204, 304]) {
        way.upstream.answer = (_request, socket) => {
          socket.write(`HTTP/1.1 ${status} X\r\nX-Other: 1\r\n${status === 202 ? 'Content-Length: 0\r\n' : ''}\r\n`);
        };
        const response = await exchange(way.port, ask({ target: way.path }));
        expect([response.status, response.body.byteLength]).toEqual([status, 0]);
      }
    });
  });

  describe(verifies('mcp:02-streams-byte-for-byte'), () => {
    test('an event stream arrives with every byte, however it is written and cut', async () => {
      await fc.assert(
        fc.asyncProperty(arbitrary.eventStreams, arbitrary.places, async (events, places) => {
          way.upstream.answer = async (_request, socket) => {
            socket.write(eventHead);
            for (const piece of arbitrary.cut(events, places)) {
              socket.write(chunk(piece));
              await sleep(0);
            }
            socket.write('0\r\n\r\n');
          };
          const response = await exchange(way.port, ask({ target: way.path }));
          // The stream may have begun before its first event, which a comment says.
          expect(['', ':\n', ':\n\n'].map((comment) => comment + events.toString())).toContain(String(response.body));
        }),
        rounds,
      );
    });

    test('what has come of an event goes on before the rest of it is there', async () => {
      const begun = '{"jsonrpc":"2.0","id":1,"result":{"content":';
      const pieces = [`id: 7\ndata: ${begun}`, '[]}}\n', '\n: said\n', 'data: \u{1f600}\r\n\r\n'].map((text) =>
        Buffer.from(text),
      );
      const more: (() => void)[] = [];
      way.upstream.answer = async (_request, socket) => {
        socket.write(eventHead);
        for (const piece of pieces) {
          socket.write(chunk(piece));
          await new Promise<void>((resolve) => more.push(resolve));
        }
        socket.write('0\r\n\r\n');
      };
      const response = await open(way.port, ask({ target: way.path }));
      let text = '';
      let expected = '';
      for (const piece of pieces) {
        expected += piece.toString();
        // Each comes although the next is not sent before this one is here.
        while (text.replace(/^:\n+/, '') !== expected) text += String((await response.pieces.next()).value);
        more.shift()?.();
      }
      expect((await response.pieces.next()).done).toBe(true);
      response.close();
    });

    test('the first event is there within 5 ms of its leaving the server', async () => {
      const measure = async (): Promise<number> => {
        let sentMs = 0;
        way.upstream.answer = async (_request, socket) => {
          await sleep(2);
          sentMs = performance.now();
          socket.write(`${eventHead}5\r\n:ok\n\n\r\n0\r\n\r\n`);
        };
        const response = await open(way.port, ask({ target: way.path }));
        await response.pieces.next();
        const tookMs = performance.now() - sentMs;
        response.close();
        return tookMs;
      };
      const median = async (): Promise<number> => {
        const all: number[] = [];
        for (let run = 0; run < 21; run += 1) all.push(await measure());
        return all.toSorted((a, b) => a - b)[10]!;
      };
      expect(await median()).toBeLessThan(5);
    });
  });
});
