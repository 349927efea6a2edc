/** The transport of revision 2024-11-05 through the compiled sidecar, with the clients and servers that speak it. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ServerUpstream } from '#contract/watch.ts';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';
import { BrokerDouble, granted, missing, policy, subject } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { keyMark } from './support/upstream.ts';
import { eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

/** A server of the official SDK, version 1, whose tools say with which key they were called, and ask their user. */
async function startServer(certificate?: TestCertificate) {
  const transports = new Map<string, SSEServerTransport>();
  const listener: RequestListener = (request, response) => void answer(request, response);
  const server =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer({ cert: certificate.cert, key: certificate.key }, listener);
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'GET' && url.pathname === '/sse') {
      const transport = new SSEServerTransport('/message', response);
      transports.set(transport.sessionId, transport);
      await mcpServer().connect(transport);
    } else if (request.method === 'POST' && url.pathname === '/message') {
      const transport = transports.get(url.searchParams.get('sessionId') ?? '');
      if (transport === undefined) response.writeHead(404).end();
      else await transport.handlePostMessage(request, response);
    } else response.writeHead(404).end();
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function mcpServer(): McpServer {
  const server = new McpServer({ name: 'old', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Key of the caller' }, ({ requestInfo }) => ({
    content: [{ type: 'text', text: `key=${keyMark(String(requestInfo?.headers['x-api-key']))}` }],
  }));
  server.registerTool('ask', { description: 'Asks the user' }, async () => {
    const { action } = await server.server.elicitInput({
      message: 'Sure?',
      requestedSchema: { type: 'object', properties: {} },
    });
    return { content: [{ type: 'text', text: action }] };
  });
  return server;
}

async function connect(url: string, token: string, headers: Record<string, string> = {}): Promise<Client> {
  const client = new Client({ name: 'test', version: '1.0.0' }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
  const requestInit = { headers: { authorization: `Bearer ${token}`, ...headers } };
  await client.connect(new SSEClientTransport(new URL(url), { requestInit }));
  return client;
}

async function setUp(upstreamPort: number) {
  const broker = await BrokerDouble.start();
  broker.policy = { ...policy, transport: 'SSE' };
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  broker.setLease('bob', granted('bob', 'key-of-bob'));
  broker.setLease('carol', missing('carol'));
  const sidecar = await SidecarProcess.start({ broker, upstreamPort, path: '/sse' });
  return {
    broker,
    sidecar,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await broker[Symbol.asyncDispose]();
    },
  };
}

function textOf(result: unknown): string {
  return (result as { content: { text: string }[] }).content[0]!.text;
}

describe(verifies('mcp:20-real-clients'), () => {
  test('each user works with their own key, and answers what the server asks', async () => {
    await using server = await startServer();
    await using all = await setUp(server.port);
    const clients = [await connect(all.sidecar.url, 'alice'), await connect(all.sidecar.url, 'bob')];
    const keys = await Promise.all(clients.map((client) => client.callTool({ name: 'whoami' })));
    expect(keys.map(textOf)).toEqual(['key-of-alice', 'key-of-bob'].map((key) => `key=${keyMark(key)}`));
    expect(textOf(await clients[0]!.callTool({ name: 'ask' }))).toBe('decline');
    for (const client of clients) await client.close();
    await eventually(() => [...all.broker.events.values()].filter(({ phase }) => phase === 'close').length === 2);
    const events = [...all.broker.events.values()];
    const calls = events.filter(({ method }) => method === 'tools/call');
    expect(calls.map((event) => [event.subject, event.tool, event.httpStatus, event.rpcStatus])).toEqual([
      [subject('alice'), 'whoami', 202, 0],
      [subject('bob'), 'whoami', 202, 0],
      [subject('alice'), 'ask', 202, 0],
    ]);
    const sessions = new Set(events.filter(({ phase }) => phase !== 'open').map((event) => event.sessionIdHash));
    expect(sessions.size).toBe(2);
  });

  test('a user without a key is told so by the tool', async () => {
    await using server = await startServer();
    await using all = await setUp(server.port);
    const client = await connect(all.sidecar.url, 'carol');
    const result = await client.callTool({ name: 'whoami' });
    expect(result.isError).toBe(true);
    expect(textOf(result)).toContain('X-Api-Key');
    await client.close();
  });

  test("nobody posts into another's stream", async () => {
    await using server = await startServer();
    await using all = await setUp(server.port);
    const stream = await fetch(all.sidecar.url, { headers: { authorization: 'Bearer alice' } });
    const first = Buffer.from((await stream.body!.getReader().read()).value ?? []).toString();
    const target = /data: (\S+)/.exec(first)![1]!;
    expect(target).toMatch(/^\/message\?sessionId=/);
    const url = new URL(target, all.sidecar.url).href;
    expect((await post(url, rpc('ping'), { token: 'bob' })).status).toBe(404);
    expect((await post(url, rpc('ping'), { token: 'mallory' })).status).toBe(401);
    expect((await post(url, rpc('ping'), { token: 'alice' })).status).toBe(202);
    expect((await post(url.replace('/message', '/other'), rpc('ping'), { token: 'alice' })).status).toBe(404);
  });

  test('a gateway in front of a remote server, and of one in the cluster, is no obstacle', async () => {
    const certificate = await makeTestCertificate(['localhost']);
    await using remote = await startServer(certificate);
    await using server = await startServer();
    await using all = await setUp(server.port);
    const { broker, sidecar } = all;
    const publish = (name: string, upstream: ServerUpstream): void => {
      broker.others.set(`team-b/${name}`, {
        ...policy,
        server: { namespace: 'team-b', name },
        transport: 'SSE',
        upstream,
      });
    };
    const url = `https://localhost:${remote.port}/sse`;
    publish('remote', { kind: 'remote', url, ca: certificate.ca, allowPrivateAddresses: true });
    publish('cluster', { kind: 'cluster', url: `http://127.0.0.1:${sidecar.port}/sse` });
    await using gateway = await SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'] });
    for (const name of ['remote', 'cluster']) {
      const client = await connect(`http://127.0.0.1:${gateway.port}/team-b/${name}/mcp`, 'alice');
      expect(textOf(await client.callTool({ name: 'whoami' }))).toBe(`key=${keyMark('key-of-alice')}`);
      expect(textOf(await client.callTool({ name: 'ask' }))).toBe('decline');
      await client.close();
    }
  });
});
