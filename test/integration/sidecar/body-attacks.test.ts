import { connect, type Socket } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { buildOnce } from './support/sidecar-process.ts';
import { call, eventually, post, sendInTurn } from './support/wire.ts';
import { setUpSidecar } from './support/set-up.ts';

beforeAll(buildOnce);

const setUp = () => setUpSidecar({ users: ['alice', 'bob'] });

interface HalfSent {
  readonly socket: Socket;
  text: string;
  closed: boolean;
}

/** A request that announces 4 MiB and sends one byte of it. */
function sendHalf(port: number, authorization: string): HalfSent {
  const lines = ['POST /mcp HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 4194304'];
  const socket = connect(port, '127.0.0.1', () => socket.write([...lines, authorization, '', '{'].join('\r\n')));
  const half: HalfSent = { socket, text: '', closed: false };
  socket.on('data', (chunk) => (half.text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (half.closed = true));
  return half;
}

const sockets = 64;

test.each([
  ['nobody knows', 'X-None: 1', 401],
  ['is logged in', 'Authorization: Bearer alice', 408],
])(
  'connections of somebody who %s and announces large bodies take nothing from others, and end',
  async (_who, authorization, status) => {
    await using world = await setUp();
    const halves = Array.from({ length: sockets }, () => sendHalf(world.sidecar.port, authorization));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const response = await post(world.sidecar.url, call('x'), { token: 'bob' });
    expect(response.status).toBe(200);
    await eventually(() => halves.every((half) => half.text.startsWith(`HTTP/1.1 ${status} `)), 8_000);
    // One event for each of them, and one for bob's.
    await eventually(() => world.broker.events.size === sockets + 1);
    if (status === 408) await eventually(() => halves.every((half) => half.closed), 2_000);
    for (const half of halves) half.socket.destroy();
    expect(new Set(world.broker.receivedIds).size).toBe(sockets + 1);
  },
  30_000,
);

test('a body that only drips is ended, and its connection with it', async () => {
  await using world = await setUp();
  const half = sendHalf(world.sidecar.port, 'Authorization: Bearer alice');
  const drip = setInterval(() => half.socket.write(' '), 100);
  const startedMs = performance.now();
  await eventually(() => half.closed, 9_000);
  clearInterval(drip);
  expect(half.text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":1408/);
  expect(performance.now() - startedMs).toBeLessThan(8_000);
}, 20_000);

test('the body of a request that is refused by its head is no request', async () => {
  await using world = await setUp();
  const inner = 'POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Length: 0\r\n\r\n';
  const body = call('x');
  const next = (token: string) =>
    `POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const refused = `POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\n\r\n`;
  const answers = await sendInTurn(world.sidecar.port, [refused + inner, next('bob')]);
  expect(answers.map((answer) => answer.slice(0, 12))).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200']);
  const late = connect(world.sidecar.port, '127.0.0.1', () => late.write(refused));
  let text = '';
  late.on('data', (chunk) => (text += chunk.toString('latin1')));
  late.on('error', () => {});
  await eventually(() => text !== '');
  late.write(inner);
  await new Promise((resolve) => setTimeout(resolve, 300));
  late.destroy();
  expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 401']);
  expect(world.broker.leaseRequests.some((request) => request.credential === 'alice')).toBe(false);
});
