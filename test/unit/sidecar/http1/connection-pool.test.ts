import { Buffer } from 'node:buffer';
import { type AddressInfo, createServer, type Socket as NodeSocket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Answer } from '#sidecar/http1/connection.ts';
import { verifies } from '#test/requirements.ts';
import { type ConnectionPool, ConnectionPool as Pool, type PooledRequest } from '#sidecar/http1/connection-pool.ts';
import { BodyQueue } from '#sidecar/http1/body-queue.ts';
import type { Socket, SocketListener } from '#sidecar/http1/socket.ts';
import { limits, poolTo, unbounded as backlog, RawServer, waits } from './node-dial.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const answerText = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function request(more: Partial<PooledRequest> = {}): PooledRequest {
  return {
    method: 'POST',
    target: '/mcp',
    headers: new Fields({ 'content-type': 'application/json' }),
    body: Buffer.from('{}'),
    account: 'alice',
    repeatable: false,
    signal: new AbortController().signal,
    ...more,
  };
}

async function textOf({ body }: Answer): Promise<string> {
  if (!(body instanceof BodyQueue)) return Buffer.from(body ?? []).toString('latin1');
  let text = '';
  for (let part = await body.read(); part !== undefined; part = await body.read()) text += Buffer.from(part).toString();
  return text;
}

async function sendText(pool: ConnectionPool, more: Partial<PooledRequest> = {}): Promise<string> {
  return textOf(await pool.send(request(more)));
}

async function until(check: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 400 && !check(); attempt += 1) await delay(5);
  expect(check()).toBe(true);
}

describe('a request', () => {
  test('goes out with its own fields, host and length, and nothing else', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    await sendText(poolTo(server.port), { target: '/mcp?a=b', headers: new Fields({ 'X-Key': 'k' }) });
    expect(server.requests[0]?.text).toBe(
      `POST /mcp?a=b HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\nx-key: k\r\ncontent-length: 2\r\n\r\n{}`,
    );
  });

  test('without a body has no length', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    await sendText(poolTo(server.port), { method: 'GET', headers: new Fields(), body: undefined });
    expect(server.requests[0]?.text).toBe(`GET /mcp HTTP/1.1\r\nhost: 127.0.0.1:${server.port}\r\n\r\n`);
  });

  test.each([
    ['/mcp?a=b c\r\nX-Evil: 1', '/mcp?a=b%20cX-Evil:%201'],
    ['/mcp?\u{e9}', '/mcp?%C3%A9'],
  ])('says nothing by its target %j but a target', async (target, expected) => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    await sendText(poolTo(server.port), { target });
    expect(server.requests[0]?.text.split('\r\n', 1)).toEqual([`POST ${expected} HTTP/1.1`]);
  });

  test('of many megabytes arrives whole', async () => {
    let received = 0;
    await using server = await RawServer.start((socket, text) => {
      received = text.length;
      socket.write(answerText);
    });
    const body = Buffer.alloc(5_000_000, 0x61);
    await sendText(poolTo(server.port), { body });
    expect(received).toBeGreaterThan(body.byteLength);
  });
});

describe('connections', () => {
  test('carry one request after the other', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    const pool = poolTo(server.port);
    for (let count = 0; count < 5; count += 1) await sendText(pool);
    expect(server.connections).toBe(1);
  });

  test('are as many as there are requests at a time, and no more than allowed', async () => {
    await using server = await RawServer.start((socket) => void setTimeout(() => socket.write(answerText), 30));
    const pool = poolTo(server.port, { connectionsMax: 3 });
    const results = await Promise.allSettled([1, 2, 3, 4].map(async () => sendText(pool)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(results[3]).toMatchObject({ reason: { code: 'TooManyConnections' } });
    expect(pool.open).toBe(3);
  });

  test('end when nobody has used them for a while', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    const pool = poolTo(server.port, { idleMsMax: 50 });
    await sendText(pool);
    expect(server.sockets.size).toBe(1);
    await until(() => server.sockets.size === 0 && pool.open === 0);
  });

  test.each([
    ['the server says that it closes', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    [
      'more came than the answer',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil',
    ],
    ['HTTP/1.0 was spoken', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ])('are not used again when %s', async (_name, text) => {
    await using server = await RawServer.start((socket) => socket.write(text));
    const pool = poolTo(server.port);
    expect(await sendText(pool)).toBe('ok');
    expect(await sendText(pool)).toBe('ok');
    expect(server.connections).toBe(2);
  });

  test('are not used again when bytes came that nobody asked for', async () => {
    await using server = await RawServer.start((socket, _request, connection) => {
      socket.write(answerText);
      if (connection === 1) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'), 10);
    });
    const pool = poolTo(server.port);
    await sendText(pool);
    await until(() => pool.open === 0);
    expect(await sendText(pool)).toBe('ok');
  });

  test('are not used again when the answer came before the request was out', async () => {
    // Reads the head only, answers, and leaves the rest of the body lying.
    await using server = await RawServer.start(() => {});
    const pool = new Pool({
      dial: async (listener) => stuckSocket(listener, answerText),
      host: 'x',
      limits,
      waits: () => waits,
      backlog,
      nowMs: () => performance.now(),
    });
    expect(await sendText(pool)).toBe('ok');
    expect(pool.open).toBe(0);
    expect(server.connections).toBe(0);
  });
});

/** Takes one byte of each write, then answers. */
function stuckSocket(listener: SocketListener, text: string): Socket {
  return {
    write() {
      setTimeout(() => listener.received(Buffer.from(text)), 1);
      return 1;
    },
    pause() {},
    resume() {},
    terminate() {},
  };
}

describe('a connection that ends instead of answering', () => {
  test('is replaced once when the server closed it before it had the request', async () => {
    let dialled = 0;
    const pool = new Pool({
      dial: async (listener) => closingSocket(listener, ++dialled),
      host: 'x',
      limits,
      waits: () => waits,
      backlog,
      nowMs: () => performance.now(),
    });
    expect(await sendText(pool)).toBe('ok');
    expect(await sendText(pool)).toBe('ok');
    expect(dialled).toBe(2);
  });

  /** The first connection is closed after one answer, as the kernel shows it: the next write goes nowhere, the probe fails. */
  function closingSocket(listener: SocketListener, number: number): Socket {
    let writes = 0;
    return {
      write(bytes) {
        writes += 1;
        if (number === 1 && writes === 2) setTimeout(() => listener.ended(), 1);
        else if (number === 1 && writes > 2) return -1;
        else setTimeout(() => listener.received(Buffer.from(answerText)), 1);
        return bytes.byteLength;
      },
      pause() {},
      resume() {},
      terminate() {},
    };
  }

  /** Answers the first request of each connection and ends the second one's. */
  async function endsSecond(how: 'end' | 'reset'): Promise<RawServer> {
    const seen = new Map<number, number>();
    return RawServer.start((socket, _request, connection) => {
      const count = (seen.get(connection) ?? 0) + 1;
      seen.set(connection, count);
      if (count === 1) socket.write(answerText);
      else if (how === 'end') socket.end();
      else socket.resetAndDestroy();
    });
  }

  test.each(['end', 'reset'] as const)('is replaced once for a request that may be done twice: %s', async (how) => {
    await using server = await endsSecond(how);
    const pool = poolTo(server.port);
    await sendText(pool);
    expect(await sendText(pool, { repeatable: true })).toBe('ok');
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 1, 2]);
  });

  test.each(['end', 'reset'] as const)('is an error to a request that the server may have done: %s', async (how) => {
    await using server = await endsSecond(how);
    const pool = poolTo(server.port);
    await sendText(pool);
    await expect(sendText(pool)).rejects.toMatchObject({ code: 'BrokenOff' });
    expect(server.requests).toHaveLength(2);
  });

  test.each([
    ['when it was new', 'new'],
    ['when part of an answer came', 'partly'],
  ])('is an error %s, whatever the request', async (_name, kind) => {
    await using server = await RawServer.start((socket) => {
      if (server.requests.length === 1 && kind === 'partly') socket.write(answerText);
      else socket.end(kind === 'partly' ? 'HTTP/1.1 2' : '');
    });
    const pool = poolTo(server.port);
    if (kind === 'partly') await sendText(pool);
    await expect(sendText(pool, { repeatable: true })).rejects.toMatchObject({ code: 'BrokenOff' });
    expect(server.requests).toHaveLength(kind === 'partly' ? 2 : 1);
  });
});

describe('an answer', () => {
  test('is bytes when it is whole, a stream when it is not', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab');
      setTimeout(() => socket.write('cd'), 20);
    });
    const answer = await poolTo(server.port).send(request());
    expect(answer.body).toBeInstanceOf(BodyQueue);
    expect(await textOf(answer)).toBe('abcd');
  });

  test('streams each piece when it comes', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    });
    const { body } = await poolTo(server.port).send(request());
    const [socket] = server.sockets;
    if (!(body instanceof BodyQueue)) throw new Error('no stream');
    for (const text of ['one', 'two', 'three']) {
      socket?.write(`${text.length}\r\n${text}\r\n`);
      expect(Buffer.from((await body.read()) ?? []).toString()).toBe(text);
    }
    socket?.write('0\r\n\r\n');
    expect(await body.read()).toBeUndefined();
  });

  test('makes the server wait while nobody reads it', async () => {
    const total = 50_000_000;
    let written = 0;
    await using server = await RawServer.start((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      const piece = Buffer.alloc(100_000, 0x61);
      const more = (): void => {
        while (written < total) {
          written += piece.byteLength;
          if (!socket.write(piece)) return void socket.once('drain', more);
        }
      };
      more();
    });
    const answer = await poolTo(server.port).send(request());
    await delay(200);
    expect(written).toBeLessThan(total / 2);
    expect(await textOf(answer)).toHaveLength(total);
  });

  test('that breaks off fails behind what has come of it', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab');
      setTimeout(() => socket.end(), 20);
    });
    const { body } = await poolTo(server.port).send(request());
    if (!(body instanceof BodyQueue)) throw new Error('no stream');
    expect(Buffer.from((await body.read()) ?? []).toString()).toBe('ab');
    await expect(body.read()).rejects.toMatchObject({ code: 'BrokenOff' });
  });

  test('that is no HTTP is refused', async () => {
    await using server = await RawServer.start((socket) => socket.write('220 smtp.example ready\r\n\r\n'));
    const pool = poolTo(server.port);
    await expect(sendText(pool)).rejects.toMatchObject({ code: 'Malformed' });
    expect(pool.open).toBe(0);
  });

  test('that does not come in time is given up', async () => {
    await using server = await RawServer.start((socket) => socket.write('HTTP/1.1 200 OK\r\n'));
    const pool = poolTo(server.port, { answerMsMax: 50 });
    await expect(sendText(pool)).rejects.toMatchObject({ code: 'AnswerTimeout' });
    await until(() => server.sockets.size === 0);
  });

  test('may take its time once it has begun', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      setTimeout(() => socket.write('2\r\nok\r\n0\r\n\r\n'), 150);
    });
    expect(await sendText(poolTo(server.port, { answerMsMax: 50 }))).toBe('ok');
  });
});

describe('a body that is sent as it comes', () => {
  function streamed(declaredBytes: number | undefined, pieces: readonly (string | Error)[]) {
    const left = [...pieces];
    let cancelled = 0;
    const body = {
      declaredBytes,
      async read() {
        const piece = left.shift();
        if (piece instanceof Error) throw piece;
        return piece === undefined ? undefined : Buffer.from(piece);
      },
      cancel: () => void (cancelled += 1),
    };
    return { body, cancels: () => cancelled, left };
  }

  /** Answers when what it got since its last answer ends like this. */
  async function startAnsweringAt(end: string) {
    const seen: string[] = [];
    const sockets = new Set<NodeSocket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      let text = '';
      socket
        .on('error', () => {})
        .on('data', (bytes) => {
          text += bytes.toString('latin1');
          if (!text.endsWith(end)) return;
          seen.push(text);
          text = '';
          socket.write(answerText);
        });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      seen,
      sockets,
      port: (server.address() as AddressInfo).port,
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test('has the length that was declared', async () => {
    await using server = await startAnsweringAt('abcdef');
    const { body, cancels } = streamed(6, ['ab', '', 'cdef']);
    expect(await sendText(poolTo(server.port), { body })).toBe('ok');
    expect(server.seen[0]).toContain('\r\ncontent-length: 6\r\n\r\nabcdef');
    expect(cancels()).toBe(0);
  });

  test('goes in chunks where no length was, and the connection serves on', async () => {
    await using server = await startAnsweringAt('0\r\n\r\n');
    const pool = poolTo(server.port);
    for (let time = 0; time < 2; time += 1) {
      const { body } = streamed(undefined, ['ab', '', 'x'.repeat(20)]);
      expect(await sendText(pool, { body })).toBe('ok');
    }
    const framed = `transfer-encoding: chunked\r\n\r\n2\r\nab\r\n14\r\n${'x'.repeat(20)}\r\n0\r\n\r\n`;
    expect(server.seen[0]).toContain(framed);
    expect(server.sockets.size).toBe(1);
  });

  test('that breaks off is never ended as if it were whole', async () => {
    await using server = await startAnsweringAt('0\r\n\r\n');
    const { body } = streamed(undefined, ['ab', new Error('gone')]);
    const pool = poolTo(server.port);
    await expect(sendText(pool, { body })).rejects.toMatchObject({ code: 'Cancelled' });
    expect([server.seen, pool.open]).toEqual([[], 0]);
  });

  test('that is answered early is let go of, and the connection with it', async () => {
    await using server = await startAnsweringAt('\r\n\r\n');
    const never = streamed(10, ['ab']);
    const body = { ...never.body, read: () => new Promise<undefined>(() => {}) };
    const pool = poolTo(server.port);
    expect(await sendText(pool, { body })).toBe('ok');
    expect([never.cancels(), pool.open]).toEqual([1, 0]);
  });

  test('is not sent again', async () => {
    await using server = await RawServer.start((socket, text) => {
      if (text.includes('again')) socket.destroy();
      else if (text.endsWith('{}')) socket.write(answerText);
    });
    const pool = poolTo(server.port);
    await sendText(pool);
    const { connections } = server;
    const { body } = streamed(5, ['again']);
    await expect(sendText(pool, { body, repeatable: true })).rejects.toMatchObject({ code: 'BrokenOff' });
    expect(server.connections).toBe(connections);
  });
});

describe('a server of HTTP/2', () => {
  test('is known by how it begins', async () => {
    await using server = await RawServer.start((socket) => socket.write(Buffer.from('00001204000000000000', 'hex')));
    await expect(sendText(poolTo(server.port))).rejects.toMatchObject({ code: 'OtherProtocol' });
  });
});

describe('a client that goes', () => {
  test('cuts the connection while the answer is waited for', async () => {
    await using server = await RawServer.start(() => {});
    const pool = poolTo(server.port);
    const client = new AbortController();
    const sending = sendText(pool, { signal: client.signal, repeatable: true });
    await until(() => server.requests.length === 1);
    client.abort();
    await expect(sending).rejects.toMatchObject({ code: 'Cancelled' });
    await until(() => server.sockets.size === 0 && pool.open === 0);
  });

  test('cuts the connection in the middle of a stream', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    });
    const client = new AbortController();
    const { body } = await poolTo(server.port).send(request({ signal: client.signal }));
    if (!(body instanceof BodyQueue)) throw new Error('no stream');
    const reading = body.read();
    client.abort();
    await expect(reading).rejects.toMatchObject({ code: 'Cancelled' });
    await until(() => server.sockets.size === 0);
  });

  test('cuts nothing when its answer is complete', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    const pool = poolTo(server.port);
    const client = new AbortController();
    await sendText(pool, { signal: client.signal });
    client.abort();
    await sendText(pool);
    expect(server.connections).toBe(1);
  });

  test('sends nothing when it had gone before', async () => {
    await using server = await RawServer.start((socket) => socket.write(answerText));
    const signal = AbortSignal.abort();
    await expect(sendText(poolTo(server.port), { signal })).rejects.toMatchObject({ code: 'Cancelled' });
    expect(server.requests).toEqual([]);
  });

  test('ends a read that waits when the reader lets go', async () => {
    await using server = await RawServer.start((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    });
    const { body } = await poolTo(server.port).send(request());
    if (!(body instanceof BodyQueue)) throw new Error('no stream');
    const reading = body.read();
    body.cancel();
    expect(await reading).toBeUndefined();
    await until(() => server.sockets.size === 0);
  });
});

describe('a server that is not there', () => {
  test('is an error at once', async () => {
    const server = await RawServer.start(() => {});
    const { port } = server;
    await server[Symbol.asyncDispose]();
    const pool = poolTo(port);
    await expect(sendText(pool)).rejects.toMatchObject({ code: 'ConnectFailed' });
    expect(pool.open).toBe(0);
  });

  test(`${verifies('mcp:21-timeouts')}: is waited for no longer than allowed`, async () => {
    const late = Promise.withResolvers<Socket>();
    let terminated = false;
    const pool = new Pool({
      dial: () => late.promise,
      host: 'x',
      limits,
      backlog,
      waits: () => ({ ...waits, connectMsMax: 20 }),
      nowMs: () => performance.now(),
    });
    await expect(sendText(pool)).rejects.toMatchObject({ code: 'ConnectTimeout' });
    late.resolve({ write: () => 0, pause() {}, resume() {}, terminate: () => void (terminated = true) });
    await until(() => terminated);
    expect(pool.open).toBe(0);
  });
});
