import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { beforeAll, expect, test } from 'vitest';
import { BrokerDouble, granted, missing } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { keyMark, Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

function textOf(result: unknown): string {
  return (result as { content: { text: string }[] }).content.map((item) => item.text).join('\n');
}

test('gives each user of an SDK client, in both eras, their own key', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  broker.setLease('bob', granted('bob', 'key-of-bob'));
  for (const mode of ['legacy', 'auto'] as const) {
    for (const user of ['alice', 'bob']) {
      const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
      const requestInit = { headers: { authorization: `Bearer ${user}` } };
      await client.connect(new StreamableHTTPClientTransport(new URL(sidecar.url), { requestInit }));
      expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['whoami', 'echo']);
      expect(textOf(await client.callTool({ name: 'whoami' }))).toBe(
        `key=${keyMark(`key-of-${user}`)} authorization=none`,
      );
      await client.close();
    }
  }
  expect(broker.leaseRequests).toHaveLength(2);
});

test('gives the user of an SDK v1 client their key', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const client = new ClientV1({ name: 'test', version: '1' });
  const requestInit = { headers: { authorization: 'Bearer alice' } };
  await client.connect(new TransportV1(new URL(sidecar.url), { requestInit }));
  expect(textOf(await client.callTool({ name: 'whoami' }))).toBe(`key=${keyMark('key-of-alice')} authorization=none`);
  await client.close();
});

test('tells an SDK client whose user has no key which header is missing and where to set it', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('carol', missing('carol'));
  for (const mode of ['legacy', 'auto'] as const) {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: 'Bearer carol' } };
    await client.connect(new StreamableHTTPClientTransport(new URL(sidecar.url), { requestInit }));
    expect((await client.listTools()).tools).toHaveLength(2);
    const result = await client.callTool({ name: 'whoami' });
    expect(result.isError).toBe(true);
    expect(textOf(result)).toContain('X-Api-Key');
    expect(textOf(result)).toContain('kubectl mcpkeys set notes -n team-a');
    expect(textOf(result)).toContain('https://notes.example/keys');
    await client.close();
  }
});

test('a key that was just set works within two seconds, also without an invalidation', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('carol', missing('carol'));
  await post(sidecar.url, call('whoami'), { token: 'carol' });
  broker.setLease('carol', granted('carol', 'fresh'));
  const setAtMs = performance.now();
  const ask = async () => (await post(sidecar.url, call('whoami'), { token: 'carol' })).text();
  await eventually(async () => (await ask()).includes(`key=${keyMark('fresh')}`));
  expect(performance.now() - setAtMs).toBeLessThan(2_000);
});

test('forwards body, query, session and protocol headers as they are, with the Host of the upstream', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const body = '{ "jsonrpc":"2.0",\n "id":"\u00e9\u{1f600}", "method":"tools/list" }';
  const response = await post(`${sidecar.url}?a=1&b=%2F`, body, {
    token: 'alice',
    headers: { 'mcp-session-id': 's-1', 'mcp-protocol-version': '2025-11-25', 'last-event-id': '7', 'x-other': 'kept' },
  });
  expect(response.status).toBe(200);
  const [seen] = upstream.received;
  expect(seen).toMatchObject({ method: 'POST', url: '/mcp?a=1&b=%2F', body });
  expect(seen!.headers).toMatchObject({
    host: `127.0.0.1:${upstream.port}`,
    'mcp-session-id': 's-1',
    'mcp-protocol-version': '2025-11-25',
    'last-event-id': '7',
    'x-other': 'kept',
    'x-api-key': 'k',
    accept: 'application/json, text/event-stream',
  });
  expect(seen!.headers.authorization).toBeUndefined();
});

test('hands status, headers and body of the upstream back untouched, and follows no redirect', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((request, response) => {
    if (request.url === '/mcp?redirect') return void response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end();
    response.writeHead(404, {
      'content-type': 'application/json',
      'mcp-session-id': 'x',
      'x-a': '1',
      'set-cookie': ['a=1', 'b=2'],
    });
    response.end('{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}');
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const response = await post(sidecar.url, rpc('tools/list'), { token: 'alice' });
  expect(response.status).toBe(404);
  expect(response.headers.get('mcp-session-id')).toBe('x');
  expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  expect(await response.text()).toBe(
    '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}',
  );
  const redirected = await fetch(`${sidecar.url}?redirect`, {
    method: 'POST',
    redirect: 'manual',
    headers: { authorization: 'Bearer alice', 'content-type': 'application/json' },
    body: rpc('tools/list'),
  });
  expect(redirected.status).toBe(307);
  expect(redirected.headers.get('location')).toBe('http://127.0.0.1:1/');
});

test('does not decode what the upstream compressed although it was asked not to', async () => {
  const { gzipSync } = await import('node:zlib');
  const zipped = gzipSync('{"jsonrpc":"2.0","id":1,"result":{}}');
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((_request, response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      'content-length': zipped.byteLength,
    });
    response.end(zipped);
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const response = await post(sidecar.url, rpc('tools/list'), { token: 'alice' });
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(await response.json()).toEqual({ jsonrpc: '2.0', id: 1, result: {} });
  expect(upstream.received[0]!.headers['accept-encoding']).toBe('identity');
});

test('answers a 202 to a notification with nothing, and keeps a 405 to GET', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording((request, response) => {
    response.writeHead(request.method === 'POST' ? 202 : 405, request.method === 'POST' ? {} : { allow: 'POST' }).end();
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  const accepted = await post(sidecar.url, JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }), {
    token: 'alice',
  });
  expect(accepted.status).toBe(202);
  expect(await accepted.text()).toBe('');
  const get = await fetch(sidecar.url, { headers: { authorization: 'Bearer alice', accept: 'text/event-stream' } });
  expect(get.status).toBe(405);
  expect(get.headers.get('allow')).toBe('POST');
  const deleted = await fetch(sidecar.url, { method: 'DELETE', headers: { authorization: 'Bearer alice' } });
  expect(deleted.status).toBe(405);
});
