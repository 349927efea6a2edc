import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted, missing } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { type Responder, Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc, sendRaw } from './support/wire.ts';
import { setUpSidecar } from './support/set-up.ts';

beforeAll(buildOnce);

const key = 'ghp_A1b2C3d4E5f6G7h8';
const stars = '*'.repeat(key.length);

async function setUp(respond?: Responder) {
  const world = await setUpSidecar({ respond });
  world.broker.setLease('alice', granted('alice', key));
  return world;
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

test(verifies('echo:masked'), async () => {
  await using world = await setUp((request, response) => {
    const { 'x-api-key': sent = '' } = request.headers;
    response.writeHead(500, { 'content-type': 'text/plain', 'x-debug': `key=${String(sent)}` });
    response.end(`Error: bad request\nheaders: ${JSON.stringify(request.headers)}\n${btoa(`key ${String(sent)}`)}`);
  });
  const answer = await post(world.sidecar.url, call('env'), { token: 'alice' });
  const text = await answer.text();
  expect(answer.status).toBe(500);
  expect(answer.headers.get('x-debug')).toBe(`key=${stars}`);
  expect(text).toContain(`"x-api-key":"${stars}"`);
  expect(text).not.toContain(btoa(`key ${key}`).slice(7, -4));
  await eventually(() => world.broker.events.size === 1);
  expect([...world.broker.events.values()]).toMatchObject([{ decision: 'forwarded', tool: 'env', echoes: 3 }]);
  expect(await world.sidecar.metrics()).toMatch(/^mcpkeyring_echoes_total 3$/m);
});

test('a tool that shows its arguments shows stars to a real client', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', key));
  for (const mode of ['legacy', 'auto'] as const) {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: 'Bearer alice' } };
    await client.connect(new StreamableHTTPClientTransport(new URL(sidecar.url), { requestInit }));
    const echo = await client.callTool({ name: 'echo', arguments: { text: JSON.stringify({ key }) } });
    expect(JSON.stringify(echo)).toContain(stars);
    expect(JSON.stringify(echo)).not.toContain(key);
    await client.close();
  }
});

test('a key that comes in pieces is masked, and the pieces around it come as soon as they are there', async () => {
  const at: number[] = [];
  await using world = await setUp(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of ['data: 1\n\n', `data: "${key.slice(0, 7)}`, `${key.slice(7)}"\n\n`, 'data: 3\n\n']) {
      at.push(performance.now());
      response.write(piece);
      await sleep(100);
    }
    response.end();
  });
  const response = await post(world.sidecar.url, call('stream'), { token: 'alice' });
  const seen: { readonly text: string; readonly atMs: number }[] = [];
  for await (const chunk of response.body!) {
    seen.push({ text: Buffer.from(chunk as Uint8Array).toString(), atMs: performance.now() });
  }
  expect(seen.map(({ text }) => text).join('')).toContain(`data: 1\n\ndata: "${stars}"\n\ndata: 3\n\n`);
  expect(seen[0]!.atMs - at[0]!).toBeLessThan(80);
  expect(seen.find(({ text }) => text.includes('data: 3'))!.atMs - at[3]!).toBeLessThan(80);
});

test(verifies('mcp:28-framing'), async () => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { text: `${key} \u{1f511} "${key}"` } });
  await using world = await setUp((request, response) => {
    if (request.url === '/mcp?gzip') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
      return void response.end(gzipSync(body));
    }
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  });
  const request = call('x');
  const raw = await sendRaw(
    world.sidecar.port,
    [
      'POST /mcp HTTP/1.1',
      'Host: x',
      'Authorization: Bearer alice',
      'Content-Type: application/json',
      'Accept-Encoding: gzip',
      `Content-Length: ${request.length}`,
      '',
      request,
    ].join('\r\n'),
  );
  const [head = '', answer = ''] = Buffer.from(raw.text, 'latin1').toString().split('\r\n\r\n');
  expect(answer).toBe(body.replaceAll(key, stars));
  expect(head.match(/^(?:content-length|transfer-encoding):.*$/gim)).toEqual([
    expect.stringMatching(new RegExp(`^content-length: ${Buffer.byteLength(body)}$`, 'i')),
  ]);
  expect(world.upstream.received[0]!.headers['accept-encoding']).toBe('identity');
  const coded = await post(`${world.sidecar.url}?gzip`, rpc('tools/list'), { token: 'alice' });
  expect(coded.status).toBe(200);
  expect(await coded.json()).toMatchObject({ id: 1, error: { code: 1012 } });
});

test(verifies('echo:former-keys'), async () => {
  const seen = new Set<string>();
  const open: ServerResponse[] = [];
  const all = (): string => [...seen].join(' ');
  await using world = await setUp((request, response, body) => {
    const { 'x-api-key': sent } = request.headers;
    if (typeof sent === 'string') seen.add(sent);
    // As one that knows its keys and takes the second for a wrong one.
    if (sent === 'second-key-of-alice' && body.includes('tools/list')) return void response.writeHead(401).end();
    if (request.method !== 'GET' && !body.includes('"stream"')) return void response.end(all());
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: open\n\n');
    open.push(response);
  });
  const keys = [key, 'second-key-of-alice', 'third-key-of-alice'];
  const send = async (body: string): Promise<string> =>
    (await post(world.sidecar.url, body, { token: 'alice' })).text();
  const streams = [
    await post(world.sidecar.url, call('stream'), { token: 'alice' }),
    await fetch(world.sidecar.url, { headers: { authorization: 'Bearer alice', accept: 'text/event-stream' } }),
  ].map((response) => response.text());
  await eventually(() => open.length === 2);
  const answers: string[] = [];
  for (const next of keys.slice(1)) {
    world.broker.setLease('alice', granted('alice', next));
    world.broker.invalidate('subject-alice');
    await eventually(async () => {
      answers.push(await send(call('env')));
      return seen.has(next);
    });
    // The second key is refused here, and the request goes on without any.
    answers.push(await send(rpc('tools/list')));
  }
  for (const response of open) response.end(`data: ${all()}\n\n`);
  const streamed = await Promise.all(streams);
  world.broker.setLease('alice', missing('alice'));
  world.broker.invalidate('subject-alice');
  await eventually(async () => (await send(call('env'))).includes('needs your own key'));
  answers.push(await send(rpc('tools/list')));
  const texts = [...answers, ...streamed];
  expect([...seen]).toEqual(keys);
  for (const one of keys) expect(texts.filter((text) => text.includes(one))).toEqual([]);
  expect(texts.at(-1)).toContain(`data: ${keys.map((one) => '*'.repeat(one.length)).join(' ')}`);
});

test('a body of many megabytes passes with its key masked and nothing else changed', async () => {
  const filler = Buffer.alloc(3_000_000, 'abcdefgh 0123456789+/=\n');
  await using world = await setUp((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write(filler);
    response.write(key);
    response.end(filler);
  });
  const response = await post(world.sidecar.url, call('x'), { token: 'alice' });
  const bytes = Buffer.from(await response.arrayBuffer());
  expect(bytes.equals(Buffer.concat([filler, Buffer.from(stars), filler]))).toBe(true);
});
