/** Attacks on what a proxy remembers between requests: sessions, tasks, held calls, streams. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { beforeAll, describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { BrokerDouble, granted, missing, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc, sendRaw } from './support/wire.ts';

beforeAll(buildOnce);

const alicesSession = { 'mcp-session-id': 'alices-running-session' };

function answer(response: ServerResponse, id: unknown, result: object = {}): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
}

/** Knows one session, alice's, and nobody of the name of mallory. */
function alicesServer(request: IncomingMessage, response: ServerResponse, body: string): void {
  if (request.headers['x-api-key'] !== 'key-of-alice') return void response.writeHead(401).end();
  answer(response, (JSON.parse(body) as { id: unknown }).id);
}

describe('a session that the proxy does not remember', () => {
  const strangers: readonly (readonly [string, LeaseResponse])[] = [
    ['who has no key', missing('mallory')],
    ['whose key the server refuses', granted('mallory', 'key-of-mallory')],
  ];

  test.each(strangers)('is not bound to a user %s', async (_, lease) => {
    await using upstream = await Upstream.recording(alicesServer);
    await using broker = await BrokerDouble.start();
    broker.setLease('alice', granted('alice', 'key-of-alice'));
    broker.setLease('mallory', lease);
    await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
    const stolen = await post(sidecar.url, call('x'), { token: 'mallory', headers: alicesSession });
    expect(await stolen.text()).toContain('isError');
    const own = await post(sidecar.url, call('x'), { token: 'alice', headers: alicesSession });
    expect(own.status).toBe(200);
    const late = await post(sidecar.url, call('x'), { token: 'mallory', headers: alicesSession });
    expect(late.status).toBe(404);
  });
});

test('a session is not reached by way of the message path of another stream', async () => {
  await using upstream = await Upstream.recording((request, response, body) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      return void response.write('event: endpoint\ndata: /message?sessionId=m1\n\n');
    }
    if (request.url?.startsWith('/message') === true) return void response.writeHead(202).end();
    response.setHeader('mcp-session-id', 'alices-session');
    answer(response, (JSON.parse(body) as { id: unknown }).id);
  });
  await using broker = await BrokerDouble.start();
  broker.policy = { ...policy, transport: 'SSE' };
  for (const user of ['alice', 'mallory']) broker.setLease(user, granted(user, `key-of-${user}`));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, path: '/sse' });
  const client = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } };
  await post(sidecar.url, rpc('initialize', client), { token: 'alice' });
  const leaving = new AbortController();
  const stream = await fetch(sidecar.url, {
    headers: { authorization: 'Bearer mallory', accept: 'text/event-stream' },
    signal: leaving.signal,
  });
  await stream.body!.getReader().read();
  const messages = sidecar.url.replace('/sse', '/message?sessionId=m1');
  const headers = { 'mcp-session-id': 'alices-session' };
  expect((await post(messages, call('x'), { token: 'mallory', headers })).status).toBe(404);
  expect(upstream.received.filter(({ url }) => url?.startsWith('/message'))).toEqual([]);
  expect((await post(messages, call('x'), { token: 'mallory' })).status).toBe(202);
  leaving.abort();
});

test("the tasks of a server that tells everybody of all are each user's own", async () => {
  const all: string[] = [];
  const streams: ServerResponse[] = [];
  await using upstream = await Upstream.recording((request, response, body) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      return void streams.push(response);
    }
    const { id, method } = JSON.parse(body) as { id: unknown; method: string };
    if (method === 'tasks/list') {
      return answer(response, id, {
        tasks: all.map((taskId) => ({ taskId, status: 'working' })),
        nextCursor: 'x',
      });
    }
    const taskId = `task-of-${String(request.headers['x-api-key']).slice('key-of-'.length)}`;
    all.push(taskId);
    answer(response, id, { task: { taskId, status: 'working' } });
  });
  await using broker = await BrokerDouble.start();
  for (const user of ['alice', 'mallory']) broker.setLease(user, granted(user, `key-of-${user}`));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  for (const token of ['alice', 'mallory']) await (await post(sidecar.url, call('slow'), { token })).text();
  const listed = await post(sidecar.url, rpc('tasks/list'), { token: 'mallory' });
  expect(await listed.json()).toEqual({
    jsonrpc: '2.0',
    id: 1,
    result: { tasks: [{ taskId: 'task-of-mallory', status: 'working' }], nextCursor: 'x' },
  });
  for (const body of [
    rpc('tasks/delete', { taskId: 'task-of-alice' }),
    rpc('subscriptions/listen', { notifications: { taskIds: ['task-of-alice'] } }),
  ]) {
    expect(await (await post(sidecar.url, body, { token: 'mallory' })).json()).toMatchObject({
      error: { code: -32_602, message: 'Task not found' },
    });
  }
  const stream = fetch(sidecar.url, { headers: { authorization: 'Bearer mallory', accept: 'text/event-stream' } });
  await eventually(() => streams.length === 1);
  const news = all.map((taskId) =>
    JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tasks/status', params: { taskId, status: 'completed' } }),
  );
  streams[0]!.write(`data: ${news[0]}\n\n${`data: ${news[1]}`.slice(0, 60)}`);
  streams[0]!.end(`${`data: ${news[1]}`.slice(60)}\n\n`);
  const seen = await (await stream).text();
  expect(seen).toContain(`data: ${news[1]}\n\n`);
  expect(seen).not.toContain('alice');
});

test('a notification about a task is refused: nobody could say whose task it is', async () => {
  await using upstream = await Upstream.recording((_request, response) => void response.writeHead(202).end());
  await using broker = await BrokerDouble.start();
  broker.setLease('mallory', granted('mallory', 'key-of-mallory'));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  const cancel = JSON.stringify({ jsonrpc: '2.0', method: 'tasks/cancel', params: { taskId: 'alices-task' } });
  expect((await post(sidecar.url, cancel, { token: 'mallory' })).status).toBe(400);
  expect(upstream.received).toEqual([]);
});

test('a call that was held is judged by the policy of the moment in which it goes on', async () => {
  await using upstream = await Upstream.recording();
  await using broker = await BrokerDouble.start();
  const keyPage = { url: 'https://keys.example/x', stateKey: randomBytes(32).toString('base64url') };
  broker.policy = { ...policy, keyPage };
  broker.setLease('alice', missing('alice'));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  const named = 'io.modelcontextprotocol';
  const _meta = {
    [`${named}/protocolVersion`]: '2026-07-28',
    [`${named}/clientCapabilities`]: { elicitation: { url: {} } },
    [`${named}/clientInfo`]: { name: 'x', version: '1' },
  };
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'drop' };
  const params = { name: 'drop', arguments: {}, _meta };
  const asked = await post(sidecar.url, rpc('tools/call', params, 1), { token: 'alice', headers });
  const { result } = (await asked.json()) as { result: { requestState: string; inputRequests: object } };
  const inputResponses = Object.fromEntries(
    Object.keys(result.inputRequests).map((key) => [key, { action: 'accept' }]),
  );
  const retry = { ...params, requestState: result.requestState, inputResponses };
  const held = await post(sidecar.url, rpc('tools/call', retry, 2), { token: 'alice', headers });
  broker.publish({ ...policy, keyPage, tools: [{ deny: ['drop'] }] });
  await eventually(async () => {
    const direct = await post(sidecar.url, rpc('tools/call', params, 3), { token: 'alice', headers });
    return (await direct.text()).includes('1010');
  });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  broker.invalidate('subject-alice');
  expect(await held.text()).toContain('1010');
  expect(upstream.received).toEqual([]);
});

test('a GET with a chunked body is refused, as one with a length is', async () => {
  await using upstream = await Upstream.recording((_request, response) => void response.writeHead(405).end());
  await using broker = await BrokerDouble.start();
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  const head = ['GET /mcp HTTP/1.1', 'Host: x', 'Authorization: Bearer alice', 'Transfer-Encoding: chunked', '', ''];
  const { text } = await sendRaw(sidecar.port, `${head.join('\r\n')}2\r\n{}\r\n0\r\n\r\n`);
  expect(text).toMatch(/^HTTP\/1.1 400 /);
  expect(upstream.received).toEqual([]);
});
