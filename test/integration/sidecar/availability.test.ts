import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted, missing } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

interface SetUp {
  readonly flags?: readonly string[];
  readonly respond?: Parameters<typeof Upstream.recording>[0];
  readonly contained?: boolean;
}

async function setUp({ flags = [], respond, contained = false }: SetUp = {}) {
  const broker = await BrokerDouble.start();
  const upstream = await Upstream.recording(respond);
  const sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, flags, contained });
  broker.setLease('alice', granted('alice', 'key-1'));
  return {
    broker,
    upstream,
    sidecar,
    send: async (token = 'alice') => {
      const response = await post(sidecar.url, call('x'), { token });
      await response.text();
      return response.status;
    },
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

test('asks the broker once for many requests of one user at the same time', async () => {
  await using world = await setUp();
  world.broker.setLease('alice', async () => {
    await sleep(100);
    return granted('alice', 'k');
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => world.send()));
  expect(new Set(answers)).toEqual(new Set([200]));
  expect(world.broker.leaseRequests).toHaveLength(1);
});

test('drops a lease within a second of its invalidation', async () => {
  await using world = await setUp();
  await world.send();
  world.broker.setLease('alice', granted('alice', 'key-2'));
  await world.send();
  expect(world.upstream.received.at(-1)!.headers['x-api-key']).toBe('key-1');
  world.broker.invalidate('subject-alice');
  await eventually(async () => {
    await world.send();
    return world.upstream.received.at(-1)!.headers['x-api-key'] === 'key-2';
  }, 1_000);
});

test('an invalidation of all drops everything, one of another user nothing', async () => {
  await using world = await setUp();
  world.broker.setLease('bob', missing('bob'));
  await world.send();
  await world.send('bob');
  world.broker.invalidate('subject-carol');
  await sleep(100);
  await world.send();
  expect(world.broker.leaseRequests).toHaveLength(2);
  world.broker.invalidate('all');
  await sleep(100);
  await world.send();
  await world.send('bob');
  expect(world.broker.leaseRequests).toHaveLength(4);
});

test('an answer that was invalidated on its way is asked for again', async () => {
  await using world = await setUp();
  let asked = 0;
  world.broker.setLease('alice', async () => {
    asked += 1;
    if (asked > 1) return granted('alice', 'new');
    world.broker.invalidate('subject-alice');
    await sleep(150);
    return granted('alice', 'old');
  });
  expect(await world.send()).toBe(200);
  expect(world.upstream.received.map((seen) => seen.headers['x-api-key'])).toEqual(['new']);
});

test('serves nobody ten seconds after it lost the broker, and everybody when it is back', async () => {
  await using world = await setUp();
  await world.send();
  await world.broker.kill();
  const lostAtMs = performance.now();
  await sleep(1_000);
  expect(await world.send()).toBe(200);
  await eventually(async () => (await world.send()) === 503, 10_500);
  expect(performance.now() - lostAtMs).toBeGreaterThan(6_000);
  expect(await (await post(world.sidecar.url, rpc('tools/list'), { token: 'alice' })).json()).toMatchObject({
    error: { code: 1503 },
  });
  await world.broker.listen();
  await eventually(async () => (await world.send()) === 200, 4_000);
});

test('a broker that is restarted under load costs no request of a user with a lease', async () => {
  await using world = await setUp();
  await world.send();
  const answers: number[] = [];
  const load = { on: true };
  const loading = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (load.on) answers.push(await world.send());
    }),
  );
  await sleep(300);
  await world.broker.kill();
  await sleep(2_000);
  await world.broker.listen();
  await eventually(() => world.broker.watching === 1);
  await sleep(1_500);
  load.on = false;
  await loading;
  expect(answers.length).toBeGreaterThan(200);
  expect(answers.filter((answer) => answer !== 200)).toEqual([]);
  await eventually(() => world.broker.events.size === answers.length + 1);
  expect(world.broker.receivedIds.length).toBeGreaterThanOrEqual(world.broker.events.size);
});

test('leases are renewed before they end', async () => {
  await using world = await setUp();
  world.broker.setLease('alice', granted('alice', 'k', { ttlMs: 1_500 }));
  const untilMs = performance.now() + 4_000;
  while (performance.now() < untilMs) {
    expect(await world.send()).toBe(200);
    await sleep(20);
  }
  expect(world.broker.leaseRequests.length).toBeGreaterThanOrEqual(3);
  expect(world.broker.leaseRequests.length).toBeLessThanOrEqual(6);
});

test('a watch stream that falls silent without a word is opened anew before leases end', async () => {
  await using world = await setUp();
  await world.send();
  world.broker.heartbeats = false;
  const untilMs = performance.now() + 11_000;
  const answers = new Set<number>();
  while (performance.now() < untilMs) {
    answers.add(await world.send());
    await sleep(50);
  }
  expect(answers).toEqual(new Set([200]));
  expect(world.broker.watchPaths.length).toBeGreaterThanOrEqual(2);
  expect(world.broker.watchPaths.at(-1)).toContain('revision=');
});

test('shows the broker a token that the kubelet renewed', async () => {
  await using world = await setUp();
  await writeFile(join(world.sidecar.directory, 'token'), 'pod-token-2');
  world.broker.acceptedToken = 'pod-token-2';
  world.broker.invalidate('all');
  expect(await world.send()).toBe(200);
  expect(world.broker.tokens).toContain('pod-token-2');
});

test('is alive but not ready before it has a policy, and serves nobody', async () => {
  await using broker = await BrokerDouble.start();
  await broker.kill();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, early: true });
  expect((await fetch(`${sidecar.health}/readyz`)).status).toBe(503);
  expect((await post(sidecar.url, call('x'), { token: 'alice' })).status).toBe(503);
  await broker.listen();
  await eventually(async () => (await fetch(`${sidecar.health}/readyz`)).status === 200, 4_000);
});

test('a broker with a certificate of another authority is not talked to', async () => {
  await using broker = await BrokerDouble.start();
  await using impostor = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  await writeFile(join(sidecar.directory, 'ca.crt'), impostor.ca);
  broker.setLease('alice', granted('alice', 'k'));
  await sleep(10_500);
  broker.cutWatches();
  broker.tokens.clear();
  await eventually(async () => (await post(sidecar.url, call('x'), { token: 'alice' })).status === 503, 12_000);
  expect(broker.tokens.size).toBe(0);
});

test('that a server is not there is the answer, and on record', async () => {
  await using world = await setUp();
  world.upstream.server.closeAllConnections();
  await new Promise((resolve) => world.upstream.server.close(resolve));
  const response = await post(world.sidecar.url, call('x', {}, 'id-1'), { token: 'alice' });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ id: 'id-1', error: { code: 1502 } });
  await eventually(() => world.broker.events.size === 1);
  expect([...world.broker.events.values()][0]).toMatchObject({ decision: 'upstreamUnavailable', rpcStatus: 1502 });
});

test('a call that broke off is never sent twice', async () => {
  await using world = await setUp({
    respond: (request, response) => {
      if (world.upstream.received.length === 1) return void response.end('{}');
      request.socket.destroy();
    },
  });
  expect(await world.send()).toBe(200);
  const broken = await post(world.sidecar.url, call('x'), { token: 'alice' });
  expect(await broken.json()).toMatchObject({ error: { code: 1502 } });
  await sleep(200);
  expect(world.upstream.received).toHaveLength(2);
});

// It also hands over its audit.
test(verifies('mcp:32-drain'), async () => {
  await using world = await setUp({
    respond: async (request, response) => {
      if (request.method === 'GET')
        return void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n');
      await sleep(1_500);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{}}');
    },
  });
  const slow = post(world.sidecar.url, call('slow'), { token: 'alice' });
  const stream = await fetch(world.sidecar.url, { headers: { authorization: 'Bearer alice' } });
  await eventually(() => world.upstream.received.length === 2);
  world.sidecar.process.kill('SIGUSR2');
  await eventually(async () => (await fetch(`${world.sidecar.health}/readyz`)).status === 503);
  expect((await fetch(`${world.sidecar.health}/readyz`)).status).toBe(503);
  const startedMs = performance.now();
  const exit = world.sidecar.stop();
  expect(await stream.text()).toBe(':\n');
  expect(performance.now() - startedMs).toBeLessThan(1_000);
  await expect(post(world.sidecar.url, call('x'), { token: 'alice' })).rejects.toThrow('fetch failed');
  const response = await slow;
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ result: {} });
  expect(await exit).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(4_000);
  // A stream has one at its opening and one at its end.
  expect([...world.broker.events.values()].map((event) => event.httpMethod).sort()).toEqual(['GET', 'GET', 'POST']);
});

test(`${verifies('mcp:32-drain')}: neither a new policy nor another key ends a stream that is open`, async () => {
  let send = (_event: string): void => {};
  await using world = await setUp({
    respond: (request, response) => {
      if (request.method !== 'GET')
        return void response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 0\n\n');
      send = (event) => response.write(event);
    },
  });
  const leaving = new AbortController();
  const headers = { authorization: 'Bearer alice', accept: 'text/event-stream' };
  const stream = await fetch(world.sidecar.url, { headers, signal: leaving.signal });
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const read = async (wanted: string): Promise<void> => {
    while (!text.includes(wanted)) text += (await reader.read()).value ?? '';
  };
  await read('data: 0');
  world.broker.setLease('alice', granted('alice', 'key-2'));
  world.broker.publish({ ...world.broker.policy, title: 'Other' });
  world.broker.invalidate('all');
  await eventually(async () => {
    await world.send();
    return world.upstream.received.at(-1)!.headers['x-api-key'] === 'key-2';
  }, 2_000);
  send('data: 1\n\n');
  await read('data: 1');
  expect(world.upstream.aborted).toBe(0);
  leaving.abort();
  await eventually(() => world.upstream.aborted === 1);
});

test('is told to drain by a second start in its container, and by nothing on the network', async () => {
  await using world = await setUp({ contained: true });
  for (const path of ['/drain', '/prestop', '/quit', '/shutdown']) {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
      expect((await fetch(`${world.sidecar.health}${path}`, { method })).status).toBe(404);
    }
  }
  expect((await fetch(`${world.sidecar.health}/readyz`)).status).toBe(200);
  expect(await world.sidecar.runPreStop()).toBe('0');
  await eventually(async () => (await fetch(`${world.sidecar.health}/readyz`)).status === 503);
  // Clients that have not noticed yet are served, and asked to go elsewhere.
  const response = await post(world.sidecar.url, call('x'), { token: 'alice' });
  expect(response.status).toBe(200);
  expect(response.headers.get('connection')).toBe('close');
});

test('does not wait for ever at the end', async () => {
  await using world = await setUp({ flags: ['--drain-seconds=1'], respond: () => {} });
  const hanging = post(world.sidecar.url, call('slow'), { token: 'alice' });
  hanging.catch(() => {});
  await eventually(() => world.upstream.received.length === 1);
  const startedMs = performance.now();
  expect(await world.sidecar.stop()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  await eventually(() => world.broker.events.size === 1);
});

test(verifies('availability:silent-broker'), async () => {
  await using world = await setUp();
  expect(await world.send()).toBe(200);
  await world.broker.kill();
  // As behind a node that died: what listens there says nothing, not even of TLS.
  const silent = createServer((socket) => socket.resume().on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(world.broker.port, '127.0.0.1', resolve));
  const startedMs = performance.now();
  expect(await world.send('bob')).toBe(503);
  expect(performance.now() - startedMs).toBeLessThan(8_000);
  silent.close();
});
