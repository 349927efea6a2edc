/** Clients and servers that keep connections and give nothing: others are served, memory stays, and what ends is on record. */
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { connectionLimits } from '#sidecar/proxy/connection-places.ts';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { type Responder } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';
import { setUpSidecar } from './support/set-up.ts';

beforeAll(buildOnce);

const setUp = (respond?: Responder, flags: readonly string[] = []) =>
  setUpSidecar({ respond, flags, users: ['alice', 'bob'] });

interface Held {
  readonly socket: Socket;
  text: string;
  closed: boolean;
}

function hold(port: number, text: string, localAddress = '127.0.0.1'): Held {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
  const held: Held = { socket, text: '', closed: false };
  socket.on('connect', () => socket.write(text));
  socket.on('data', (chunk: Buffer) => (held.text += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (held.closed = true));
  return held;
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

const body = call('x');
const head = [
  'POST /mcp HTTP/1.1',
  'Host: x',
  'Authorization: Bearer alice',
  'Content-Type: application/json',
  `Content-Length: ${body.length}`,
];
const whole = [...head, '', body].join('\r\n');

test('heads that only drip are ended within 30 s, while others are served', async () => {
  await using world = await setUp();
  const slow = Array.from({ length: 200 }, () => hold(world.sidecar.port, 'POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: '));
  const drip = setInterval(() => {
    for (const { socket, closed } of slow) if (!closed) socket.write('a');
  }, 250);
  await sleep(2_000);
  expect((await post(world.sidecar.url, body, { token: 'bob' })).status).toBe(200);
  await eventually(() => slow.every((held) => held.closed), 30_000);
  clearInterval(drip);
  expect(world.upstream.received).toHaveLength(1);
}, 90_000);

test('a client that closes its direction has gone: nothing more is done for it, and it is on record', async () => {
  await using world = await setUp((_request, response) => void setTimeout(() => response.end('{}'), 300));
  const cut = [whole.slice(0, 60), whole.slice(0, -5), whole];
  for (const text of cut) {
    const held = hold(world.sidecar.port, text);
    held.socket.on('connect', () => held.socket.end());
    await eventually(() => held.closed, 5_000);
    expect(held.text).toBe('');
  }
  // One had sent no whole head, and so no request.
  await eventually(() => world.broker.events.size === 2);
  expect([...world.broker.events.values()].map((event) => event.decision)).toEqual(['clientClosed', 'clientClosed']);
  expect((await post(world.sidecar.url, body, { token: 'bob' })).status).toBe(200);
});

test('a thousand calls that a server leaves waiting keep nobody else from being served, and end with their clients', async () => {
  await using world = await setUp((request, response, content) => {
    if (request.url === '/mcp?silent') return;
    const { id } = JSON.parse(content) as { id: unknown };
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
  });
  await post(world.sidecar.url, body, { token: 'bob' });
  const beforeBytes = await world.sidecar.residentBytes();
  const silent = whole.replace('/mcp', '/mcp?silent');
  const waiting = Array.from({ length: 1_000 }, () => hold(world.sidecar.port, silent));
  await eventually(() => world.upstream.received.length === 1_001, 20_000);
  expect((await post(world.sidecar.url, body, { token: 'bob' })).status).toBe(200);
  expect((await world.sidecar.residentBytes()) - beforeBytes).toBeLessThan(64 * 1_048_576);
  for (const { socket } of waiting) socket.destroy();
  await eventually(() => world.upstream.aborted === 1_000, 10_000);
  await eventually(() => world.broker.events.size === 1_002, 10_000);
}, 60_000);

test('ten thousand connections that say nothing, or half a head, take little memory and nothing from others', async () => {
  const openFilesMax = 20_000;
  await using world = await setUpSidecar({ users: ['bob'], openFilesMax });
  await post(world.sidecar.url, body, { token: 'bob' });
  const beforeBytes = await world.sidecar.residentBytes();
  const texts = ['', 'POST /mcp HTTP/1.1\r\nHost: x\r\n'];
  const held: Held[] = [];
  for (let batch = 0; batch < 20; batch += 1) {
    held.push(...Array.from({ length: 500 }, (_item, index) => hold(world.sidecar.port, texts[index % 2]!)));
    await eventually(() => held.every(({ socket }) => !socket.connecting), 10_000);
  }
  const startedMs = performance.now();
  expect((await post(world.sidecar.url, body, { token: 'bob' })).status).toBe(200);
  expect(performance.now() - startedMs).toBeLessThan(2_000);
  expect((await world.sidecar.residentBytes()) - beforeBytes).toBeLessThan(64 * 1_048_576);
  // More than one peer may have: those that waited longest have given way.
  const { connectionsMax, peerConnectionsMax } = connectionLimits(openFilesMax);
  await eventually(() => held.filter(({ closed }) => !closed).length <= peerConnectionsMax);
  expect(held.filter(({ closed }) => closed).length).toBeLessThan(10_000 - peerConnectionsMax + 50);
  expect(await world.sidecar.metrics()).toMatch(/mcpkeyring_connections_cut_total\{reason="displaced"\} \d{4}/);
  expect(connectionsMax).toBeLessThan(10_000);
  for (const { socket } of held) socket.destroy();
  await eventually(async () => (await post(world.sidecar.url, body, { token: 'bob' })).status === 200);
}, 120_000);

test('who has a request on every connection that one address may have gets no further one, and others do', async () => {
  const openFilesMax = 700;
  await using world = await setUpSidecar({
    users: ['alice', 'bob'],
    openFilesMax,
    respond: (request, response) => {
      if (request.url !== '/mcp?silent') response.end();
    },
  });
  const { peerConnectionsMax, connectionsMax } = connectionLimits(openFilesMax);
  const silent = whole.replace('/mcp', '/mcp?silent');
  const waiting = Array.from({ length: peerConnectionsMax }, () => hold(world.sidecar.port, silent));
  await eventually(() => world.upstream.received.length === peerConnectionsMax);
  for (let more = 0; more < 200; more += 1) {
    const held = hold(world.sidecar.port, whole);
    await eventually(() => held.text.endsWith('\r\n\r\n'));
    expect(held.text).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n[^]*connection: close\r\n\r\n$/);
    held.socket.destroy();
  }
  expect(world.upstream.received).toHaveLength(peerConnectionsMax);
  const elsewhere = hold(world.sidecar.port, whole.replace('alice', 'bob'), '127.0.0.2');
  await eventually(() => elsewhere.text.startsWith('HTTP/1.1 200 OK\r\n'));
  // Probes and metrics have files of their own.
  expect((await fetch(`${world.sidecar.health}/readyz`)).status).toBe(200);
  expect(await world.sidecar.metrics()).toMatch(/mcpkeyring_connections_cut_total\{reason="refused"\} 200/);
  for (const { socket } of waiting) socket.destroy();
  await eventually(
    async () => (await post(world.sidecar.url, body, { token: 'alice' }).catch(() => undefined))?.status === 200,
  );
  expect(peerConnectionsMax).toBeLessThan(connectionsMax);
}, 60_000);

test(
  verifies('mcp:21-timeouts'),
  async () => {
    await using world = await setUp(
      async (request, response) => {
        if (request.url === '/mcp?silent') return;
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"n":0}\n\n');
        await sleep(2_500);
        response.end('data: {"n":1}\n\n');
      },
      ['--answer-ms-max=1000'],
    );
    const startedMs = performance.now();
    const late = await post(`${world.sidecar.url}?silent`, call('x', {}, 'id-1'), { token: 'alice' });
    expect(late.status).toBe(200);
    expect(await late.json()).toMatchObject({ id: 'id-1', error: { code: 1506 } });
    expect(performance.now() - startedMs).toBeGreaterThan(900);
    // The limit is for the head: a stream that has begun lives as long as it likes.
    const stream = await post(world.sidecar.url, body, { token: 'alice' });
    expect((await stream.text()).replaceAll(/^:.*\n+/gm, '')).toBe('data: {"n":0}\n\ndata: {"n":1}\n\n');
    await eventually(() => world.broker.events.size === 2);
    expect([...world.broker.events.values()][0]).toMatchObject({ decision: 'upstreamUnavailable', rpcStatus: 1506 });
  },
  20_000,
);

test('without a limit for the answer a tool takes as long as its client waits', async () => {
  await using world = await setUp(async (_request, response) => {
    await sleep(12_000);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{}}');
  });
  expect((await post(world.sidecar.url, body, { token: 'alice' })).status).toBe(200);
}, 30_000);

/** A server that closes a kept connection when the second request comes on it, before or after it reads that. */
async function closingServer(): Promise<{ port: number; requests: string[]; [Symbol.asyncDispose](): Promise<void> }> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let onThis = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      // An empty line is no request (RFC 9112, 2.2): the sidecar asks so whether this end still reads.
      if (chunk.toString() === '\r\n') return;
      onThis += 1;
      requests.push(chunk.toString('latin1'));
      if (onThis === 2) return void socket.end();
      const answer = '{"jsonrpc":"2.0","id":1,"result":{}}';
      socket.write(
        `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`,
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test(verifies('mcp:22-retry-once'), async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await closingServer();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const send = async (message: string) => (await post(sidecar.url, message, { token: 'alice' })).text();
  // The second request on the connection is lost; the server may have read it.
  expect(await send(rpc('tools/list'))).not.toContain('1502');
  expect(await send(rpc('tools/list'))).not.toContain('1502');
  expect(upstream.requests).toHaveLength(3);
  expect(await send(call('x'))).toContain('"code":1502');
  expect(upstream.requests).toHaveLength(4);
  expect(upstream.requests.filter((request) => request.includes('"tools/call"'))).toHaveLength(1);
});
