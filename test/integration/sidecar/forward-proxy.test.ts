import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { PolicySnapshot, ServerUpstream } from '#contract/watch.ts';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { type Responder, Upstream } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

/** A name that only the forward proxy can look up. */
const host = 'mcp.vendor.example';
const credentials = 'gateway:a-password-of-the-proxy';

let certificate: TestCertificate;

beforeAll(async () => {
  await buildOnce();
  certificate = await makeTestCertificate([host, 'localhost', '127.0.0.1']);
});

interface ProxyDouble extends AsyncDisposable {
  readonly port: number;
  readonly asked: { readonly authority: string; readonly authorization: string | undefined }[];
  /** What went through, in both directions. */
  readonly passed: () => string;
}

type Answer = (request: IncomingMessage, client: Socket) => void;

/** A forward proxy: it looks every name up as this machine, and reads along. `answer`: what it does instead. */
async function startProxy(answer?: Answer): Promise<ProxyDouble> {
  const asked: ProxyDouble['asked'][number][] = [];
  const sockets = new Set<Socket>();
  const passed: Buffer[] = [];
  const server = createServer((_request, response) => response.writeHead(405).end());
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    asked.push({ authority: request.url ?? '', authorization: request.headers['proxy-authorization'] });
    client.on('error', () => {});
    sockets.add(client);
    if (answer !== undefined) return answer(request, client);
    const server = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n');
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.on('data', (bytes) => passed.push(bytes)).on('close', () => to.destroy());
        from.pipe(to);
      }
    });
    server.on('error', () => client.destroy());
    sockets.add(server);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    passed: () => Buffer.concat(passed).toString('latin1'),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const wiki = { namespace: 'team-b', name: 'wiki' };

function snapshotAt(url: string, more: Partial<PolicySnapshot> = {}, allowPrivateAddresses = false): PolicySnapshot {
  const upstream: ServerUpstream = { kind: 'remote', url, ca: certificate.ca, allowPrivateAddresses };
  return { ...policy, server: wiki, upstream, ...more };
}

/** A gateway behind a forward proxy at this port, and alice, who has a key at the server. */
async function setUp(port: number, snapshot: PolicySnapshot) {
  const directory = await mkdtemp(join(tmpdir(), 'forward-proxy-'));
  const file = join(directory, 'credentials');
  await writeFile(file, `${credentials}\n`);
  const broker = await BrokerDouble.start();
  broker.others.set('team-b/wiki', snapshot);
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const flags = [`--https-proxy=http://127.0.0.1:${port}`, `--https-proxy-credentials=${file}`];
  const gateway = await SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'], flags });
  return {
    broker,
    gateway,
    url: `http://127.0.0.1:${gateway.port}/team-b/wiki/mcp`,
    send: async (body = call('search')) => {
      const response = await post(`http://127.0.0.1:${gateway.port}/team-b/wiki/mcp`, body, { token: 'alice' });
      return (await response.json()) as { readonly error?: { readonly code: number; readonly message: string } };
    },
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

const answering: Responder = (_request, response, body) => {
  const { id } = JSON.parse(body) as { readonly id: unknown };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { text: 'y'.repeat(200_000) } }));
};

test(verifies('gateway:forward-proxy'), async () => {
  await using upstream = await Upstream.recording(answering, certificate);
  await using proxy = await startProxy();
  await using world = await setUp(proxy.port, snapshotAt(`https://${host}:${upstream.port}/mcp`));
  const large = call('search', { text: 'x'.repeat(1_000_000) });
  for (const body of [call('search'), large]) expect(await world.send(body)).not.toHaveProperty('error');
  expect(upstream.received.map(({ body }) => body.length)).toEqual([call('search').length, large.length]);
  expect(upstream.received[0]?.headers).toMatchObject({
    host: `${host}:${upstream.port}`,
    'x-api-key': 'key-of-alice',
  });
  expect(upstream.received[0]?.headers).not.toHaveProperty('proxy-authorization');

  // One tunnel for both, and nothing to be read in it.
  const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  expect(proxy.asked).toEqual([{ authority: `${host}:${upstream.port}`, authorization }]);
  expect(proxy.passed().length).toBeGreaterThan(1_000_000);
  expect(proxy.passed()).not.toContain('key-of-alice');
  expect(proxy.passed()).not.toContain('search');

  const argv = await readFile(`/proc/${world.gateway.process.pid}/cmdline`, 'utf8');
  expect(argv + world.gateway.output).not.toContain('a-password-of-the-proxy');
});

test('a stream comes through as it comes, and its end is heard by the server', async () => {
  const left = Promise.withResolvers<void>();
  await using upstream = await Upstream.recording((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
    response.on('close', () => left.resolve());
  }, certificate);
  await using proxy = await startProxy();
  await using world = await setUp(proxy.port, snapshotAt(`https://${host}:${upstream.port}/mcp`));
  const leaving = new AbortController();
  const headers = { authorization: 'Bearer alice', accept: 'text/event-stream' };
  const stream = await fetch(world.url, { headers, signal: leaving.signal });
  expect(Buffer.from((await stream.body!.getReader().read()).value ?? []).toString()).toContain(
    'notifications/message',
  );
  leaving.abort();
  await left.promise;
});

test(verifies('gateway:forward-proxy-addresses'), async () => {
  await using upstream = await Upstream.recording(answering, certificate);
  await using proxy = await startProxy();
  const at = (name: string): string => `https://${name}:${upstream.port}/mcp`;
  await using world = await setUp(proxy.port, snapshotAt(at('127.0.0.1')));
  for (const name of [
    '127.0.0.1',
    '10.0.0.7',
    '[::1]',
    '[::ffff:10.0.0.7]',
    '2130706433',
    '169.254.169.254',
    'localhost',
    'vault.svc',
    'intranet',
  ]) {
    world.broker.publish(snapshotAt(at(name)));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await eventually(async () => (await world.send()).error?.message.includes('address') === true);
  }
  // Nobody means a metadata service.
  world.broker.publish(snapshotAt(at('169.254.169.254'), {}, true));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await eventually(async () => (await world.send()).error?.code === 1502);
  expect([proxy.asked, upstream.received]).toEqual([[], []]);

  world.broker.publish(snapshotAt(at('localhost'), {}, true));
  await eventually(async () => (await world.send()).error === undefined);
  expect(upstream.received.length).toBeGreaterThan(0);

  // The proxy leads to a server that has no certificate for the declared name.
  world.broker.publish(snapshotAt(at('other.vendor.example')));
  await eventually(async () => (await world.send()).error?.code === 1502);
  // What came before the gateway had heard of it was for the other name.
  upstream.received.length = 0;
  expect(await world.send()).toMatchObject({ error: { code: 1502 } });
  expect(proxy.asked.at(-1)?.authority).toBe(`other.vendor.example:${upstream.port}`);
  expect(upstream.received).toEqual([]);
});

interface Refusal {
  readonly what: string;
  readonly answer: Answer;
  readonly code?: number;
  readonly logged: string;
}

const saying =
  (text: string): Answer =>
  (_request, client) =>
    client.end(text);

const refusals: readonly Refusal[] = [
  {
    what: 'wants other credentials',
    answer: saying('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n'),
    logged: 'answered 407',
  },
  { what: 'forbids the host', answer: saying('HTTP/1.1 403 No\r\n\r\n'), logged: 'answered 403' },
  {
    what: 'redirects',
    answer: saying('HTTP/1.1 302 Go\r\nLocation: https://evil.example/\r\n\r\n'),
    logged: 'answered 302',
  },
  { what: 'speaks no HTTP', answer: saying('220 mail.example ESMTP\r\n\r\n'), logged: 'not understood' },
  {
    what: 'never ends its head',
    answer: saying(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(9_000)}`),
    logged: 'not understood',
  },
  { what: 'says more than its head', answer: saying('HTTP/1.1 200 OK\r\n\r\n\u0016\u0003'), logged: 'said more' },
  { what: 'hangs up', answer: (_request, client) => client.destroy(), logged: 'closed the connection' },
  { what: 'says nothing', answer: () => {}, code: 1509, logged: 'in time' },
];

test.each(refusals)(
  `${verifies('gateway:forward-proxy-refuses')}: one that $what`,
  async ({ answer, code = 1510, logged }) => {
    await using proxy = await startProxy(answer);
    await using world = await setUp(proxy.port, snapshotAt(`https://${host}/mcp`, { bounds: { connectMsMax: 700 } }));
    const startedMs = performance.now();
    expect(await world.send()).toMatchObject({ id: 1, error: { code } });
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    expect(world.gateway.output).toContain(logged);
    await eventually(() => world.broker.events.size === 1);
    expect([...world.broker.events.values()]).toMatchObject([{ decision: 'upstreamUnavailable', rpcStatus: code }]);
  },
);

test(`${verifies('gateway:forward-proxy-refuses')}: one that is not there`, async () => {
  const gone = createTcpServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));
  await using world = await setUp(port, snapshotAt(`https://${host}/mcp`));
  expect(await world.send()).toMatchObject({ error: { code: 1510 } });
});

test('a server of the cluster is reached without the forward proxy', async () => {
  await using upstream = await Upstream.recording(answering);
  await using proxy = await startProxy();
  const inCluster = { kind: 'cluster', url: `http://127.0.0.1:${upstream.port}/mcp` } as const;
  await using world = await setUp(proxy.port, { ...policy, server: wiki, upstream: inCluster });
  expect(await world.send()).not.toHaveProperty('error');
  expect([proxy.asked.length, upstream.received.length]).toEqual([0, 1]);
});
