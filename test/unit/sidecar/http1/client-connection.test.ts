import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Answer } from '#sidecar/http1/client-answer.ts';
import { clientWorld, ok, type Seen, seen, settled, times } from './client-world.ts';

const get = 'GET /mcp HTTP/1.1\r\nHost: x\r\n\r\n';
const post = 'POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello';
const chunked =
  'POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n';
const head = 'HTTP/1.1 200 OK\r\nx-a: 1\r\ndate: Wed, 25 Nov 2026 00:00:00 GMT\r\n';

/** Answers come in the order of the pieces: nothing is left to time. */
function answers(...pieces: readonly (string | Error)[]): Answer['body'] {
  const left = pieces.map((piece) => (piece instanceof Error ? piece : Buffer.from(piece)));
  return {
    read: async () => {
      const next = left.shift();
      if (next instanceof Error) throw next;
      return next;
    },
    cancel: () => void (left.length = 0),
  };
}

function statuses(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

describe("a client's connection", () => {
  test('answers a request in one piece, with its length', async () => {
    const { wire, feed } = clientWorld(() => ok());
    feed(get);
    await settled();
    expect(wire).toMatchObject({ sent: `${head}content-length: 2\r\n\r\nok`, ended: 'no' });
  });

  test('reads the same requests wherever the network cuts them', async () => {
    const text = `\r\n${post}${get}${chunked}${post}`;
    const expected: readonly Seen[] = [
      { method: 'POST', path: '/mcp', body: 'hello' },
      { method: 'GET', path: '/mcp', body: '' },
      { method: 'POST', path: '/mcp', body: 'hello' },
      { method: 'POST', path: '/mcp', body: 'hello' },
    ];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: text.length }), { maxLength: 12 }), async (cuts) => {
        const requests: Seen[] = [];
        const { wire, feed } = clientWorld(async (request) => {
          requests.push(await seen(request));
          return ok();
        });
        let from = 0;
        for (const cut of [...cuts.toSorted((a, b) => a - b), text.length]) {
          feed(text.slice(from, cut));
          from = Math.max(from, cut);
        }
        for (let round = 0; round < 4; round += 1) await settled();
        expect(requests).toEqual(expected);
        expect(statuses(wire.sent)).toEqual([200, 200, 200, 200]);
      }),
    );
  });

  test('loses nothing of a body that comes in two pieces before anybody reads it', async () => {
    const read = Promise.withResolvers<void>();
    const bodies: string[] = [];
    const { feed } = clientWorld(async (request) => {
      await read.promise;
      bodies.push((await seen(request)).body);
      return ok();
    });
    feed(post.slice(0, -2));
    feed('lo');
    read.resolve();
    await settled();
    expect(bodies).toEqual(['hello']);
  });

  test('works on one request at a time', async () => {
    const first = Promise.withResolvers<Answer>();
    const { feed, requests } = clientWorld(async () => (requests.length === 1 ? first.promise : ok()));
    feed(post + get + get);
    await settled();
    expect(requests).toHaveLength(1);
    first.resolve(ok());
    for (let round = 0; round < 4; round += 1) await settled();
    expect(requests).toHaveLength(3);
  });

  test('keeps no more than a little of what is sent ahead: it ends behind the answer, and hears that its client leaves', async () => {
    const first = Promise.withResolvers<Answer>();
    const { connection, wire, feed, requests } = clientWorld(() => first.promise);
    feed(post);
    for (let piece = 0; piece < 20; piece += 1) feed(`GET /${'x'.repeat(8_000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(wire.paused).toBe(false);
    first.resolve(ok());
    await settled();
    expect(requests).toHaveLength(1);
    expect(wire).toMatchObject({ ended: 'shutdown' });
    expect(wire.sent).toContain('connection: close');
    connection.ended();
    expect(wire.ended).toBe('terminated');
  });

  test('reads on behind a body that nobody has read and that came whole meanwhile', async () => {
    const first = Promise.withResolvers<Answer>();
    const { wire, feed, requests } = clientWorld(async () => (requests.length === 1 ? first.promise : ok()));
    feed('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80000\r\n\r\n');
    for (let piece = 0; piece < 2; piece += 1) feed('x'.repeat(40_000));
    first.resolve(ok());
    await settled();
    expect(wire.paused).toBe(false);
    feed(get);
    await settled();
    expect(requests).toHaveLength(2);
  });

  test('refuses chunks that say more of themselves than they hold, and takes those of one byte', async () => {
    const chunks = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const padded = clientWorld(() => new Promise(() => {}));
    padded.feed(chunks);
    for (let chunk = 0; chunk < 10; chunk += 1) padded.feed(`1;${'a'.repeat(4_000)}\r\nx\r\n`);
    expect(statuses(padded.wire.sent)).toEqual([400]);
    const small = clientWorld(async (request) => ok(Buffer.from(String((await seen(request)).body.length))));
    small.feed(`${chunks}${'1\r\nx\r\n'.repeat(20_000)}0\r\n\r\n`);
    for (let round = 0; round < 4; round += 1) await settled();
    expect(small.wire.sent.endsWith('20000')).toBe(true);
  });

  test.each<readonly [string, Answer['body'], string]>([
    ['a stream', answers('a', 'bc'), 'transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'],
    ['no body', undefined, 'content-length: 0\r\n\r\n'],
  ])('frames %s', async (_name, body, expected) => {
    const { wire, feed } = clientWorld(() => ({ ...ok(), body }));
    feed(get);
    await settled();
    expect(wire.sent).toBe(head + expected);
  });

  test('frames a stream of a known length by that', async () => {
    const { wire, feed } = clientWorld(() => {
      const answer = ok(answers('a', 'bc'));
      answer.headers.set('content-length', '3');
      return answer;
    });
    feed(get);
    await settled();
    expect(wire.sent).toBe(`${head}content-length: 3\r\n\r\nabc`);
    // The head goes out with the first bytes, which are here.
    expect(wire.writes).toBe(2);
  });

  test('sends the head of a stream before its first event', async () => {
    const { wire, feed } = clientWorld(() => ok({ read: () => new Promise(() => {}), cancel: () => {} }));
    feed(get);
    await settled();
    expect(wire.sent).toBe(`${head}transfer-encoding: chunked\r\n\r\n`);
  });

  test.each([
    ['is longer than it says', answers('abc', 'd')],
    ['is shorter than it says', answers('ab')],
    ['breaks off', answers('ab', new Error('reset'))],
  ])('ends where an answer %s: it must not look like a whole one', async (_name, body) => {
    const { wire, feed } = clientWorld(() => {
      const answer = ok(body);
      answer.headers.set('content-length', '3');
      return answer;
    });
    feed(get);
    await settled();
    expect(wire.ended).toBe('terminated');
    expect(wire.sent).not.toContain('abcd');
  });

  test('gives HTTP/1.0 no chunks, and ends the connection behind the answer', async () => {
    const { wire, feed } = clientWorld(() => ok(answers('a', 'bc')));
    feed('GET / HTTP/1.0\r\n\r\n');
    await settled();
    expect(wire).toMatchObject({ sent: `${head}connection: close\r\n\r\nabc`, ended: 'shutdown' });
  });

  test('gives HEAD no body', async () => {
    const { wire, feed } = clientWorld(() => ok());
    feed('HEAD / HTTP/1.1\r\nHost: x\r\n\r\n');
    await settled();
    expect(wire.sent).toBe(`${head}\r\n`);
  });

  test('tells a client that waits to go on when somebody reads, and not when it is refused', async () => {
    const waiting = 'POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n';
    const read = clientWorld(async (request) => ok(Buffer.from((await seen(request)).body)));
    read.feed(waiting);
    await settled();
    expect(read.wire.sent).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    read.feed('hello');
    await settled();
    expect(read.wire.sent).toContain('hello');
    const refused = clientWorld(() => ok());
    refused.feed(waiting);
    await settled();
    expect(refused.wire.sent).toContain('connection: close');
    expect(statuses(refused.wire.sent)).toEqual([200]);
  });

  test('takes no request behind a body that nobody has read', async () => {
    const { wire, feed, requests } = clientWorld(() => ok());
    feed(post.slice(0, -2));
    await settled();
    feed(`lo${get}`);
    await settled();
    expect(requests).toHaveLength(1);
    expect(wire).toMatchObject({ ended: 'shutdown' });
  });

  test('makes a client wait whose body nobody reads', () => {
    const { wire, feed } = clientWorld(() => new Promise(() => {}));
    feed('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n');
    for (let piece = 0; piece < 3; piece += 1) feed('x'.repeat(40_000));
    expect(wire.paused).toBe(true);
  });

  test('makes an upstream wait for a client that reads slowly', async () => {
    let reads = 0;
    const body = { read: async () => (++reads > 3 ? undefined : Buffer.from('abc')), cancel: () => {} };
    const { wire, feed, drain } = clientWorld(() => ok(body));
    wire.takes = head.length;
    feed(get);
    await settled();
    expect(reads).toBe(1);
    drain();
    await settled();
    expect(wire.sent.endsWith('3\r\nabc\r\n0\r\n\r\n')).toBe(true);
  });

  test('begins no other request while a client does not take its answer, and ends when that lasts', async () => {
    const world = clientWorld(() => ok(Buffer.alloc(1_000_000)));
    world.wire.takes = 1_000;
    world.feed(get);
    await settled();
    for (let more = 0; more < 500; more += 1) world.feed(get);
    await settled();
    expect(world.requests).toHaveLength(1);
    world.connection.check(times, times.stallMsMax);
    expect(world.wire.ended).toBe('no');
    world.connection.check(times, times.stallMsMax + 1);
    expect(world.wire.ended).toBe('terminated');
    expect(world.requests).toHaveLength(1);
  });

  test('goes on with what was sent ahead when the client has taken its answer', async () => {
    const { wire, feed, requests, drain } = clientWorld(() => ok());
    wire.takes = 10;
    feed(get + get);
    await settled();
    expect(requests).toHaveLength(1);
    drain();
    await settled();
    expect(requests).toHaveLength(2);
    expect(statuses(wire.sent)).toEqual([200, 200]);
  });

  test('lets go of everything when the client leaves', async () => {
    let cancelled = 0;
    const body = { read: () => new Promise<undefined>(() => {}), cancel: () => void (cancelled += 1) };
    const { connection, feed, requests, wire } = clientWorld(() => ok(body));
    feed(get);
    await settled();
    connection.ended();
    expect(cancelled).toBe(1);
    expect(requests[0]?.signal.aborted).toBe(true);
    expect(wire.ended).toBe('terminated');
  });

  test('refuses a body that is not in order once, in the middle of an answer by its end alone', async () => {
    const bad = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nheXX';
    const before = clientWorld(() => new Promise(() => {}));
    before.feed(bad + get);
    await settled();
    expect(statuses(before.wire.sent)).toEqual([400]);
    expect(before.wire.ended).toBe('shutdown');
    const within = clientWorld(() => ok({ read: () => new Promise(() => {}), cancel: () => {} }));
    within.feed(bad.slice(0, -2));
    await settled();
    within.feed('XX');
    expect(statuses(within.wire.sent)).toEqual([200]);
    expect(within.wire.ended).toBe('terminated');
  });

  test.each([
    [`GET /${'x'.repeat(17_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nX: ${'x'.repeat(17_000)}`, 431],
    ['GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505],
    ['GET / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n', 417],
    ['GET / HTTP/1.1\nHost: x\n\n', 400],
  ])('refuses what it cannot read, and nothing that follows is a request', async (text, status) => {
    const { wire, feed, requests } = clientWorld(() => ok());
    feed(text);
    feed(get);
    await settled();
    expect(statuses(wire.sent)).toEqual([status]);
    expect(requests).toEqual([]);
    expect(wire.ended).toBe('shutdown');
  });

  test('ends when it waits too long for a head, for its rest, or for a client to go', async () => {
    const idle = clientWorld(() => ok());
    idle.connection.check(times, times.idleMsMax);
    expect(idle.wire.ended).toBe('no');
    idle.connection.check(times, times.idleMsMax + 1);
    expect(idle.wire.ended).toBe('terminated');
    const dripping = clientWorld(() => ok());
    for (const [at, letter] of 'GET / HTTP/1.1'.split('').entries()) {
      dripping.nowMs = at * 2_000;
      dripping.feed(letter);
      dripping.connection.check(times, dripping.nowMs);
    }
    expect(dripping.wire.ended).toBe('terminated');
    const lingering = clientWorld(() => ok());
    lingering.feed('nonsense\r\n\r\n');
    lingering.connection.check(times, times.lingerMsMax + 1);
    expect(lingering.wire.ended).toBe('terminated');
  });

  test('that is retired ends at once when idle, and behind its answer when not', async () => {
    const idle = clientWorld(() => ok());
    idle.connection.retire();
    expect(idle.wire.ended).toBe('terminated');
    const busy = clientWorld(() => ok());
    busy.feed(get);
    busy.connection.retire();
    await settled();
    expect(busy.wire).toMatchObject({ ended: 'shutdown' });
    expect(busy.wire.sent).toContain('connection: close');
  });
});
