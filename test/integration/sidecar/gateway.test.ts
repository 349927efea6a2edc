import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createSecureServer as createSecureHttp2Server } from 'node:http2';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { beforeAll, describe, expect, test } from 'vitest';
import type { PolicySnapshot, ServerUpstream } from '#contract/watch.ts';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { BrokerDouble, granted, policy, subject } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { keyMark, Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc, sendRaw, status } from './support/wire.ts';

let certificate: TestCertificate;

beforeAll(async () => {
  await buildOnce();
  certificate = await makeTestCertificate(['localhost']);
});

const wiki = { namespace: 'team-b', name: 'wiki' };
const own = { namespace: 'team-b', name: 'own' };

function snapshotOf(upstream: ServerUpstream, more: Partial<PolicySnapshot> = {}): PolicySnapshot {
  return { ...policy, server: wiki, title: 'Wiki', upstream, ...more };
}

function remote(port: number, more: Partial<Extract<ServerUpstream, { kind: 'remote' }>> = {}): ServerUpstream {
  return {
    kind: 'remote',
    url: `https://localhost:${port}/mcp`,
    ca: certificate.ca,
    allowPrivateAddresses: true,
    ...more,
  };
}

async function startGateway(broker: BrokerDouble, flags: readonly string[] = []): Promise<SidecarProcess> {
  return SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'], flags });
}

function urlOf(gateway: SidecarProcess, { namespace, name } = wiki): string {
  return `http://127.0.0.1:${gateway.port}/${namespace}/${name}/mcp`;
}

/** A gateway with one remote server, and alice, who has a key there. */
async function setUp(upstream: ServerUpstream) {
  const broker = await BrokerDouble.start();
  broker.others.set('team-b/wiki', snapshotOf(upstream));
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const gateway = await startGateway(broker);
  return {
    broker,
    gateway,
    url: urlOf(gateway),
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

describe('a remote server', () => {
  test('gets each user of an SDK client with their own key, over TLS', async () => {
    await using upstream = await Upstream.sdk(certificate);
    await using world = await setUp(remote(upstream.port));
    world.broker.setLease('bob', granted('bob', 'key-of-bob'));
    for (const mode of ['legacy', 'auto'] as const) {
      for (const user of ['alice', 'bob']) {
        const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
        const requestInit = { headers: { authorization: `Bearer ${user}` } };
        await client.connect(new StreamableHTTPClientTransport(new URL(world.url), { requestInit }));
        const result = await client.callTool({ name: 'whoami' });
        expect(result).toMatchObject({ content: [{ text: `key=${keyMark(`key-of-${user}`)} authorization=none` }] });
        await client.close();
      }
    }
    expect(world.broker.leaseRequests.map(({ server }) => server)).toEqual([wiki, wiki]);
  });

  test(verifies('mcp:26-host-is-the-upstreams'), async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    await using world = await setUp(remote(upstream.port));
    const response = await post(`${world.url}?a=1`, call('search'), { token: 'alice' });
    expect(response.status).toBe(200);
    const [seen] = upstream.received;
    expect(seen).toMatchObject({ method: 'POST', url: '/mcp?a=1', body: call('search') });
    expect(seen!.headers).toMatchObject({ host: `localhost:${upstream.port}`, 'x-api-key': 'key-of-alice' });
    expect(seen!.rawHeaders.filter((name) => name.toLowerCase() === 'host')).toHaveLength(1);
    expect(seen!.headers).not.toHaveProperty('authorization');
  });

  test('is told its name in the handshake, and that HTTP/1.1 is spoken', async () => {
    const seen: unknown[] = [];
    const server = createSecureServer({ ...certificate, ALPNProtocols: ['h2', 'http/1.1'] }, (request, response) => {
      const { servername, alpnProtocol } = request.socket as TLSSocket & { readonly servername: string };
      seen.push([servername, alpnProtocol]);
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using world = await setUp(remote((server.address() as AddressInfo).port));
    await post(world.url, call('search'), { token: 'alice' });
    expect(seen).toEqual([['localhost', 'http/1.1']]);
    server.closeAllConnections();
    server.close();
  });

  test('has every request on record once, under its own name', async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    await using world = await setUp(remote(upstream.port));
    await post(world.url, call('search'), { token: 'alice' });
    await post(world.url, call('search'), { token: 'stranger' });
    await eventually(() => world.broker.events.size === 2);
    expect([...world.broker.events.values()]).toMatchObject([
      { server: wiki, decision: 'forwarded', tool: 'search', subject: subject('alice') },
      { server: wiki, decision: 'unauthenticated', httpStatus: 401 },
    ]);
  });

  test('keeps its own path and query, and streams as it comes', async () => {
    const firstIsRead = Promise.withResolvers<void>();
    await using upstream = await Upstream.recording(async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: message\ndata: 1\n\n');
      await firstIsRead.promise;
      response.end('event: message\ndata: 2\n\n');
    }, certificate);
    await using world = await setUp(
      remote(upstream.port, { url: `https://localhost:${upstream.port}/v1/tools?tenant=7` }),
    );
    const response = await post(`${world.url}?a=1`, call('search'), { token: 'alice' });
    const reader = response.body!.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(first).toContain('data: 1');
    firstIsRead.resolve();
    const second = new TextDecoder().decode((await reader.read()).value);
    expect(second).toContain('data: 2');
    expect(upstream.received[0]?.url).toBe('/v1/tools?tenant=7&a=1');
  });
});

describe('a remote server that does not answer', () => {
  test('is given up when there is no head in time, and not while it sends', async () => {
    await using upstream = await Upstream.recording(async (_request, response, body) => {
      if (body.includes('stuck')) return;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      await new Promise((resolve) => setTimeout(resolve, 600));
      response.end('data: 2\n\n');
    }, certificate);
    await using broker = await BrokerDouble.start();
    broker.others.set('team-b/wiki', snapshotOf(remote(upstream.port)));
    broker.setLease('alice', granted('alice', 'key-of-alice'));
    await using gateway = await startGateway(broker, ['--answer-ms-max=300']);
    expect(await codeOf(await post(urlOf(gateway), call('stuck'), { token: 'alice' }))).toBe(1506);
    const slow = await post(urlOf(gateway), call('slow'), { token: 'alice' });
    expect(await slow.text()).toContain('data: 2');
  });

  test('gets a call once, and a list once more, when the connection breaks off', async () => {
    let breaks = false;
    await using upstream = await Upstream.recording((request, response) => {
      if (breaks) request.socket.destroy();
      else response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{}}');
    }, certificate);
    await using world = await setUp(remote(upstream.port));
    const afterOneThatWentWell = async (body: string): Promise<number> => {
      breaks = false;
      await (await post(world.url, call('search'), { token: 'alice' })).text();
      breaks = true;
      upstream.received.length = 0;
      expect(await codeOf(await post(world.url, body, { token: 'alice' }))).toBe(1502);
      return upstream.received.length;
    };
    expect(await afterOneThatWentWell(call('search'))).toBe(1);
    expect(await afterOneThatWentWell(rpc('tools/list'))).toBe(2);
  });

  test(verifies('gateway:handshake-limit'), async () => {
    let connections = 0;
    let open = 0;
    const silent = createServer((socket) => {
      connections += 1;
      open += 1;
      socket.resume().on('close', () => (open -= 1));
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await using world = await setUp(remote(port, { url: `https://127.0.0.1:${port}/mcp` }));
    const startedMs = performance.now();
    expect(await codeOf(await post(world.url, call('search'), { token: 'alice' }))).toBe(1509);
    expect(performance.now() - startedMs).toBeLessThan(8_000);
    await eventually(() => open === 0);
    expect(connections).toBe(1);
    silent.close();
  });
});

/** RFC 9113, 3.4: what such a server says first. */
const settingsFrame = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

describe('a key', () => {
  async function expectRefused(upstream: ServerUpstream, status = 200): Promise<string> {
    await using world = await setUp(upstream);
    const response = await post(world.url, call('search'), { token: 'alice' });
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(text).toMatch(status === 200 ? /"id":1,"error":\{"code":1502,/ : /"error":/);
    return text;
  }

  test(verifies('mcp:27-tls-verified'), async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    const other = await makeTestCertificate(['localhost']);
    const { ca: _, ...publicRoots } = remote(upstream.port) as Extract<ServerUpstream, { kind: 'remote' }>;
    await expectRefused(remote(upstream.port, { ca: other.ca }));
    await expectRefused(publicRoots);
    // The same server under a name that its certificate does not have.
    await expectRefused(remote(upstream.port, { url: `https://127.0.0.1:${upstream.port}/mcp` }));
    expect(upstream.received).toEqual([]);
  });

  test(verifies('gateway:own-ca-only'), async () => {
    // For this gateway the test's authority is among the public roots.
    const directory = await mkdtemp(join(tmpdir(), 'roots-'));
    await using _removed = { [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
    const roots = join(directory, 'roots.pem');
    await writeFile(roots, certificate.ca);
    await using upstream = await Upstream.recording(undefined, certificate);
    await using broker = await BrokerDouble.start();
    broker.setLease('alice', granted('alice', 'key-of-alice'));
    const { ca: _, ...publicRoots } = remote(upstream.port) as Extract<ServerUpstream, { kind: 'remote' }>;
    const other = await makeTestCertificate(['localhost']);
    broker.others.set('team-b/wiki', snapshotOf(publicRoots));
    broker.others.set('team-b/own', snapshotOf({ ...publicRoots, ca: other.ca }, { server: own }));
    const env = { NODE_EXTRA_CA_CERTS: roots };
    await using gateway = await SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'], env });
    expect(await codeOf(await post(urlOf(gateway), call('search'), { token: 'alice' }))).toBeUndefined();
    expect(await codeOf(await post(urlOf(gateway, own), call('search'), { token: 'alice' }))).toBe(1502);
    expect(upstream.received).toHaveLength(1);
  });

  test('is not sent where the certificate has run out, or is of another address', async () => {
    const old = await makeTestCertificate(['localhost'], { sinceMs: 60_000 });
    await using late = await Upstream.recording(undefined, old);
    await expectRefused(remote(late.port, { ca: old.ca }));
    const elsewhere = await makeTestCertificate(['127.0.0.2']);
    await using other = await Upstream.recording(undefined, elsewhere);
    await expectRefused(remote(other.port, { ca: elsewhere.ca, url: `https://127.0.0.1:${other.port}/mcp` }));
    expect([...late.received, ...other.received]).toEqual([]);
  });

  test('is sent where the certificate is of the declared address', async () => {
    const own = await makeTestCertificate(['127.0.0.1']);
    await using upstream = await Upstream.recording(undefined, own);
    const url = `https://127.0.0.1:${upstream.port}/mcp`;
    await using world = await setUp(remote(upstream.port, { ca: own.ca, url }));
    expect((await post(world.url, call('search'), { token: 'alice' })).status).toBe(200);
    expect(upstream.received[0]?.headers['x-api-key']).toBe('key-of-alice');
  });

  test(verifies('gateway:http2-only'), async () => {
    const server = createSecureHttp2Server({ ...certificate, allowHTTP1: false });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using world = await setUp(remote((server.address() as AddressInfo).port));
    const answer = (await (await post(world.url, call('search'), { token: 'alice' })).json()) as object;
    server.close();
    expect(answer).toMatchObject({ id: 1, error: { code: 1508, message: expect.stringContaining('HTTP/2 only') } });
    expect(JSON.stringify(answer)).toContain('Its administrator has to let HTTP/1.1 in');
    await eventually(() => world.broker.events.size === 1);
    expect([...world.broker.events.values()]).toMatchObject([{ decision: 'upstreamUnavailable', rpcStatus: 1508 }]);
    expect(world.gateway.output).toContain('the server speaks HTTP/2 and not HTTP/1.1');
  });

  test(`${verifies('gateway:http2-only')}: also one that agrees to anything and begins as HTTP/2 does`, async () => {
    const server = createTlsServer(certificate, (socket) => void socket.on('error', () => {}).write(settingsFrame));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await using world = await setUp(remote((server.address() as AddressInfo).port));
    expect(await codeOf(await post(world.url, call('search'), { token: 'alice' }))).toBe(1508);
    server.close();
  });

  test(`${verifies('mcp:27-tls-verified')}: a key is not sent in the clear, a snapshot with an http URL is none`, async () => {
    await using upstream = await Upstream.recording();
    await expectRefused(remote(upstream.port, { url: `http://localhost:${upstream.port}/mcp` }), 503);
    expect(upstream.received).toEqual([]);
  });

  test(verifies('mcp:25-no-redirects'), async () => {
    await using elsewhere = await Upstream.recording(undefined, certificate);
    for (const [status, location] of [
      [307, `https://localhost:${elsewhere.port}/mcp`],
      [308, '/mcp/'],
      [302, `http://localhost:${elsewhere.port}/mcp`],
    ] as const) {
      await using upstream = await Upstream.recording((_request, response) => {
        response.writeHead(status, { location }).end();
      }, certificate);
      const text = await expectRefused(remote(upstream.port));
      expect(text).toContain('redirect');
      expect(upstream.received).toHaveLength(1);
    }
    expect(elsewhere.received).toEqual([]);
  });

  test(verifies('mcp:25-checked-addresses'), async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    for (const host of [
      'localhost',
      '127.0.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '2130706433',
      '0x7f.1',
      '169.254.169.254',
    ]) {
      const url = `https://${host}:${upstream.port}/mcp`;
      const text = await expectRefused(remote(upstream.port, { url, allowPrivateAddresses: false }));
      expect(text).toContain('address');
    }
    // The metadata service is not a private server that somebody could mean.
    await expectRefused(remote(443, { url: 'https://169.254.169.254/mcp' }));
    expect(upstream.received).toEqual([]);
  });

  test('is put on record as not delivered, and the log names the address', async () => {
    await using world = await setUp(remote(1, { allowPrivateAddresses: false }));
    await post(world.url, call('search'), { token: 'alice' });
    await eventually(() => world.broker.events.size === 1);
    expect([...world.broker.events.values()]).toMatchObject([{ decision: 'upstreamUnavailable', rpcStatus: 1502 }]);
    expect(world.gateway.output).toMatch(/"address":"(?:127\.0\.0\.1|::1)"/);
  });

  test('goes to the new origin when the server moves, over a connection of its own', async () => {
    await using before = await Upstream.recording(undefined, certificate);
    await using after = await Upstream.recording(undefined, certificate);
    await using world = await setUp(remote(before.port));
    await post(world.url, call('search'), { token: 'alice' });
    world.broker.publish(snapshotOf(remote(after.port)));
    await eventually(async () => {
      await post(world.url, call('search'), { token: 'alice' });
      return after.received.length > 0;
    });
    world.broker.publish(snapshotOf(remote(after.port, { allowPrivateAddresses: false })));
    await eventually(async () => (await codeOf(await post(world.url, call('search'), { token: 'alice' }))) === 1502);
    expect(before.received.length).toBeLessThan(5);
  });
});

describe('a server of the cluster', () => {
  /** A gateway before the sidecar of `notes`, both with the same broker. */
  async function setUpCluster(upstream: Upstream, more: Partial<PolicySnapshot> = {}) {
    const broker = await BrokerDouble.start();
    broker.setLease('alice', granted('alice', 'key-of-alice'));
    broker.policy = { ...policy, ...more };
    const sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
    broker.policy = { ...policy, ...more, upstream: { kind: 'cluster', url: `http://localhost:${sidecar.port}/mcp` } };
    const gateway = await startGateway(broker);
    return {
      broker,
      sidecar,
      gateway,
      url: urlOf(gateway, policy.server),
      async [Symbol.asyncDispose]() {
        await gateway[Symbol.asyncDispose]();
        await sidecar[Symbol.asyncDispose]();
        await broker[Symbol.asyncDispose]();
      },
    };
  }

  test('has its open streams ended when the gateway stops, not broken at the end of its time', async () => {
    await using upstream = await Upstream.recording((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
    });
    await using world = await setUpCluster(upstream);
    const headers = { authorization: 'Bearer alice', accept: 'text/event-stream' };
    const reader = (await fetch(world.url, { headers })).body!.getReader();
    expect((await reader.read()).done).toBe(false);
    const stopped = world.gateway.stop();
    let ended = false;
    while (!ended) ended = (await reader.read()).done;
    await stopped;
    expect(ended).toBe(true);
  });

  test('is reached through its sidecar, which puts the key on and the request on record', async () => {
    await using upstream = await Upstream.sdk();
    await using world = await setUpCluster(upstream);
    for (const mode of ['legacy', 'auto'] as const) {
      const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
      const requestInit = { headers: { authorization: 'Bearer alice' } };
      await client.connect(new StreamableHTTPClientTransport(new URL(world.url), { requestInit }));
      const result = await client.callTool({ name: 'whoami' });
      expect(result).toMatchObject({ content: [{ text: `key=${keyMark('key-of-alice')} authorization=none` }] });
      await client.close();
    }
    expect(world.broker.leaseRequests).toHaveLength(1);
    const calls = (): number => [...world.broker.events.values()].filter(({ tool }) => tool === 'whoami').length;
    await eventually(() => calls() === 2);
    await world.gateway.stop();
    expect(calls()).toBe(2);
  });

  test(verifies('audit:gateway-refusals'), async () => {
    await using upstream = await Upstream.recording();
    await using world = await setUpCluster(upstream);
    const ask = (headers: Record<string, string>) => post(world.url, call('search'), { token: 'alice', headers });
    expect((await ask({ origin: 'https://evil.example' })).status).toBe(403);
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, '1']));
    expect((await ask(many)).status).toBe(431);
    expect((await ask({})).status).toBe(200);
    await world.sidecar.stop();
    expect((await ask({})).status).toBe(502);
    await world.gateway.stop();
    const events = [...world.broker.events.values()].toSorted((one, other) => one.at.localeCompare(other.at));
    expect(events).toMatchObject([
      { server: policy.server, decision: 'denied', httpStatus: 403 },
      { server: policy.server, decision: 'tooLarge', httpStatus: 431 },
      { server: policy.server, decision: 'forwarded', httpStatus: 200, subject: { id: 'alice' } },
      { server: policy.server, decision: 'upstreamUnavailable', httpStatus: 502 },
    ]);
    expect(upstream.received).toHaveLength(1);
  });

  test(verifies('gateway:relay-connect-limit'), async () => {
    await using deaf = await startDeaf();
    await using broker = await BrokerDouble.start();
    const upstream = { kind: 'cluster', url: `http://127.0.0.1:${deaf.port}/mcp` } as const;
    broker.policy = { ...policy, upstream, bounds: { connectMsMax: 700 } };
    await using gateway = await startGateway(broker);
    const startedMs = performance.now();
    const response = await post(urlOf(gateway, policy.server), call('search'), { token: 'alice' });
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect([response.status, await codeOf(response)]).toEqual([504, 1509]);
    await gateway.stop();
    expect([...broker.events.values()]).toMatchObject([{ decision: 'upstreamUnavailable', rpcStatus: 1509 }]);
  });

  test(verifies('gateway:relay-streams-bodies'), async () => {
    await using upstream = await Upstream.recording();
    await using world = await setUpCluster(upstream, { bounds: { bodyBytesMax: 8_388_608 } });
    // A chunked body, in pieces that no chunk of the client ends with.
    const text = call('search', { text: 'x'.repeat(3_000_000) });
    const pieces = [text.slice(0, 1), text.slice(1, 100_000), text.slice(100_000)];
    const body = ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
    const headers = { authorization: 'Bearer alice', 'content-type': 'application/json' };
    const streamed = { method: 'POST', headers, body, duplex: 'half' } as RequestInit;
    expect((await fetch(world.url, streamed)).status).toBe(200);
    expect(upstream.received.at(-1)?.body === text).toBe(true);

    // One that breaks off reaches nobody, and the next one is served.
    const { port } = world.gateway;
    const half = connect(port, '127.0.0.1');
    half.write(`POST /team-a/notes/mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n`);
    half.write(`Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"jsonrpc"`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    half.destroy();
    expect((await post(world.url, call('search'), { token: 'alice' })).status).toBe(200);
    expect(upstream.received).toHaveLength(2);
  });

  test('sends strangers to log in under the URL that they know', async () => {
    await using upstream = await Upstream.recording();
    await using world = await setUpCluster(upstream, { issuers: ['https://login.example'] });
    const response = await post(world.url, call('search'), { token: 'stranger' });
    expect(response.status).toBe(401);
    const resource = `http://127.0.0.1:${world.gateway.port}/.well-known/oauth-protected-resource/team-a/notes/mcp`;
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer realm="mcp-keyring", error="invalid_token", error_description="SignatureInvalid", resource_metadata="${resource}"`,
    );
    expect(await (await fetch(resource)).json()).toMatchObject({
      resource: world.url,
      authorization_servers: ['https://login.example'],
    });
    expect(upstream.received).toEqual([]);
  });

  test('gets bodies of every size as they are, and answers as they come', async () => {
    await using upstream = await Upstream.recording();
    await using world = await setUpCluster(upstream);
    for (const bytes of [10, 20_000, 1_000_000]) {
      const body = call('search', { text: 'x'.repeat(bytes) });
      const response = await post(`${world.url}?a=%2F`, body, { token: 'alice' });
      expect(response.status).toBe(200);
      expect(upstream.received.at(-1)).toMatchObject({ url: '/mcp?a=%2F', body });
    }
    const other = await fetch(world.url.replace('/mcp', '/other'), { headers: { authorization: 'Bearer alice' } });
    expect(other.status).toBe(404);
  });

  test('streams as it comes, and hears at once that a client has gone', async () => {
    await using upstream = await Upstream.recording((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
    });
    await using world = await setUpCluster(upstream);
    const response = await post(world.url, call('search'), { token: 'alice' });
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('data: 1');
    await reader.cancel();
    await eventually(() => upstream.aborted === 1, 1_000);
  });
});

describe('what is no server', () => {
  test('is not found, whoever asks, and costs the broker one question in a while', async () => {
    await using world = await setUp(remote(1));
    for (const path of ['/', '/mcp', '/team-b/wiki', '/team-b/other/mcp', '/team-b/other/mcp', '/team-b/wiki%2Fmcp']) {
      const response = await post(`http://127.0.0.1:${world.gateway.port}${path}`, call('search'), { token: 'alice' });
      expect(response.status).toBe(404);
    }
    expect(world.broker.watchPaths.filter((path) => path.includes('name=other')).length).toBe(1);
    expect(world.broker.leaseRequests).toEqual([]);
  });

  test('stops being served when it is deleted', async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    await using world = await setUp(remote(upstream.port));
    expect((await post(world.url, call('search'), { token: 'alice' })).status).toBe(200);
    world.broker.others.delete('team-b/wiki');
    world.broker.cutWatches();
    await eventually(async () => (await post(world.url, call('search'), { token: 'alice' })).status === 404);
  });
});

describe('the proxy of an agent', () => {
  async function startEgress(broker: BrokerDouble): Promise<SidecarProcess> {
    return SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=egress', '--server=team-b/wiki'] });
  }

  test('serves the named servers on loopback, with the key of the user who is acted for', async () => {
    await using upstream = await Upstream.recording(undefined, certificate);
    await using broker = await BrokerDouble.start();
    broker.others.set('team-b/wiki', snapshotOf(remote(upstream.port)));
    broker.setLease('alice', granted('alice', 'key-of-alice'));
    await using egress = await startEgress(broker);
    expect((await post(urlOf(egress), call('search'), { token: 'alice' })).status).toBe(200);
    expect(upstream.received[0]?.headers).toMatchObject({ 'x-api-key': 'key-of-alice' });
    expect((await post(urlOf(egress), call('search'))).status).toBe(401);
    expect((await post(urlOf(egress, policy.server), call('search'), { token: 'alice' })).status).toBe(404);
    expect(broker.watchPaths.every((path) => path.includes('wiki'))).toBe(true);
  });

  test('is not reached from another host, nor under another name', async () => {
    await using broker = await BrokerDouble.start();
    broker.others.set('team-b/wiki', snapshotOf(remote(1)));
    await using egress = await startEgress(broker);
    for (const address of ['127.0.0.2', '[::1]']) {
      const url = `http://${address}:${egress.port}/team-b/wiki/mcp`;
      await expect(post(url, call('search'), { token: 'alice' })).rejects.toThrow('fetch failed');
    }
    const rebound = `POST /team-b/wiki/mcp HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\n\r\n`;
    expect(status(await sendRaw(egress.port, rebound))).toBe(403);
  });
});

async function codeOf(response: Response): Promise<number | undefined> {
  return ((await response.json()) as { readonly error?: { readonly code: number } }).error?.code;
}

/** Listens, and its queue is full: further connections are neither accepted nor refused. */
async function startDeaf(): Promise<{ readonly port: number } & AsyncDisposable> {
  const script = [
    'import socket, sys',
    's = socket.socket()',
    's.bind(("127.0.0.1", 0))',
    's.listen(0)',
    'print(s.getsockname()[1], flush=True)',
    'sys.stdin.read()',
  ];
  const child = spawn('python3', ['-c', script.join('\n')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  const waiting = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await once(waiting[0]!, 'connect');
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of waiting) socket.destroy();
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}
