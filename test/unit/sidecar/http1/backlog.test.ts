import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { Backlog } from '#sidecar/http1/backlog.ts';
import { BodyQueue } from '#sidecar/http1/body-queue.ts';
import { clientWorld, ok, settled } from './client-world.ts';
import { poolTo, RawServer } from './node-dial.ts';
import { Fields } from '#sidecar/http1/fields.ts';

function world(bytesMax: number, accountBytesMax: number) {
  const cut: string[] = [];
  const backlog = new Backlog({ bytesMax, accountBytesMax });
  return {
    backlog,
    cut,
    hold: (name: string, bytes: number) => {
      const waiting = backlog.waiting(name.slice(0, 1), () => cut.push(name));
      waiting.hold(bytes);
      return waiting;
    },
  };
}

describe('what waits for clients', () => {
  test('is cut, oldest first, where an account has more than its share, and nowhere else', () => {
    const { backlog, cut, hold } = world(100, 50);
    hold('a1', 20);
    hold('b1', 50);
    hold('a2', 20);
    expect(cut).toEqual([]);
    hold('a3', 20);
    expect(cut).toEqual(['a1']);
    expect(backlog.bytes).toBe(90);
  });

  test('is cut where all of it is too much at the account that has most', () => {
    const { cut, hold } = world(100, 60);
    hold('b1', 10);
    hold('a1', 30);
    hold('c1', 35);
    hold('a2', 30);
    expect(cut).toEqual(['a1']);
  });

  test('is as old as the moment since which something waits, however much of it is taken', () => {
    const { cut, hold } = world(100, 50);
    const dripped = hold('a1', 20);
    const taken = hold('a2', 20);
    dripped.hold(19);
    taken.hold(0);
    taken.hold(20);
    hold('a3', 20);
    expect(cut).toEqual(['a1']);
  });

  test('may be one piece that is larger than a share, and not larger than all', () => {
    const { backlog, cut, hold } = world(100, 50);
    hold('a1', 80);
    expect(cut).toEqual([]);
    hold('b1', 101);
    expect(cut).toEqual(['b1']);
    expect(backlog.bytes).toBe(80);
  });
});

const get = 'GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n';

describe('a connection', () => {
  test('ends when its answer is what has waited longest, and counts for nothing behind it', async () => {
    const backlog = new Backlog({ bytesMax: 900_000, accountBytesMax: 500_000 });
    const worlds = Array.from({ length: 3 }, () => clientWorld(() => ok(Buffer.alloc(200_000)), backlog));
    for (const { wire, feed } of worlds) {
      wire.takes = 300;
      feed(get);
      await settled();
    }
    expect(worlds.map(({ wire }) => wire.ended)).toEqual(['terminated', 'no', 'no']);
    expect(worlds.map(({ cuts }) => cuts)).toEqual([1, 0, 0]);
    for (const { drain } of worlds) drain();
    expect(worlds[2]!.wire.sent).toContain('\0'.repeat(200_000));
    expect(backlog.bytes).toBe(0);
  });

  test('counts half a head, a body that nobody has read, and what was sent ahead, until they are taken', async () => {
    const backlog = new Backlog({ bytesMax: 100_000, accountBytesMax: 100_000 });
    const read = Promise.withResolvers<void>();
    const { feed } = clientWorld(async ({ body }) => {
      await read.promise;
      const chunks = body.chunks();
      while ((await chunks.read()) !== undefined);
      return ok();
    }, backlog);
    feed('POST /mcp HTTP/1.1\r\n');
    expect(backlog.bytes).toBeGreaterThan(10);
    feed('Host: x\r\nContent-Length: 5000\r\n\r\n');
    expect(backlog.bytes).toBe(0);
    feed('x'.repeat(3_000));
    expect(backlog.bytes).toBe(3_000);
    feed('x'.repeat(2_000));
    feed(get);
    expect(backlog.bytes).toBe(5_000 + get.length);
    read.resolve();
    for (let round = 0; round < 4; round += 1) await settled();
    expect(backlog.bytes).toBe(0);
  });

  test('counts nothing for what it was when it is gone', () => {
    const backlog = new Backlog({ bytesMax: 100_000, accountBytesMax: 100_000 });
    const { connection, feed } = clientWorld(() => new Promise(() => {}), backlog);
    feed('POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n');
    feed('x'.repeat(3_000));
    connection.ended();
    expect(backlog.bytes).toBe(0);
  });
});

test("a server's answer that nobody reads counts for whom it is, and breaks off when it is cut", async () => {
  const backlog = new Backlog({ bytesMax: 100_000, accountBytesMax: 100_000 });
  await using server = await RawServer.start((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n${'x'.repeat(1_000)}`);
    setTimeout(() => socket.write('y'.repeat(7_000)), 20);
  });
  const pool = poolTo(server.port, {}, backlog);
  const { body } = await pool.send({
    method: 'GET',
    target: '/',
    headers: new Fields(),
    body: undefined,
    account: 'alice',
    repeatable: false,
    signal: new AbortController().signal,
  });
  if (!(body instanceof BodyQueue)) throw new Error('no stream');
  await body.read();
  await expect.poll(() => backlog.bytes).toBe(7_000);
  backlog.waiting('alice', () => {}).hold(95_000);
  await expect(body.read()).rejects.toMatchObject({ code: 'Cancelled' });
  expect(backlog.bytes).toBe(95_000);
  expect(pool.open).toBe(0);
});
