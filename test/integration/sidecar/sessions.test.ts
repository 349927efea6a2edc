/** Sessions of a server of the official SDK, version 1, through the compiled sidecar. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { type EventStore, StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  ElicitRequestSchema,
  type JSONRPCMessage,
  LoggingMessageNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { keyMark } from './support/upstream.ts';
import { eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

/** Keeps the events of all streams, so that they can be resumed. */
function eventStore(): EventStore {
  const events: { id: string; streamId: string; message: JSONRPCMessage }[] = [];
  return {
    async storeEvent(streamId, message) {
      const id = `${streamId}_${events.length}`;
      events.push({ id, streamId, message });
      return id;
    },
    async replayEventsAfter(lastEventId, { send }) {
      const last = events.findIndex(({ id }) => id === lastEventId);
      const streamId = events[last]?.streamId ?? '';
      for (const event of events.slice(last + 1)) if (event.streamId === streamId) await send(event.id, event.message);
      return streamId;
    },
  };
}

async function startServer() {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const server = createServer((request, response) => void answer(request, response));
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const shown = request.headers['mcp-session-id'];
    const known = typeof shown === 'string' ? sessions.get(shown) : undefined;
    if (known !== undefined) return known.handleRequest(request, response);
    if (shown !== undefined) return void response.writeHead(404).end();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: eventStore(),
      onsessioninitialized: (id) => void sessions.set(id, transport),
    });
    await mcpServer().connect(transport);
    await transport.handleRequest(request, response);
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
  const server = new McpServer({ name: 'sessions', version: '1.0.0' }, { capabilities: { logging: {} } });
  server.registerTool('whoami', { description: 'Key of the caller' }, ({ requestInfo }) => ({
    content: [{ type: 'text', text: keyMark(String(requestInfo?.headers['x-api-key'])) }],
  }));
  server.registerTool('ask', { description: 'Asks the user' }, async () => {
    const { action } = await server.server.elicitInput({
      message: 'Sure?',
      requestedSchema: { type: 'object', properties: {} },
    });
    return { content: [{ type: 'text', text: action }] };
  });
  server.registerTool('shout', { description: 'Says something on the stream' }, async () => {
    await server.server.sendLoggingMessage({ level: 'info', data: 'hello' });
    return { content: [] };
  });
  return server;
}

test(verifies('mcp:08-real-sessions'), async () => {
  await using broker = await BrokerDouble.start();
  await using server = await startServer();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: server.port });
  for (const user of ['alice', 'bob']) broker.setLease(user, granted(user, `key-of-${user}`));
  const client = new Client({ name: 'test', version: '1' }, { capabilities: { elicitation: {} } });
  const heard: unknown[] = [];
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void heard.push(params.data));
  const transport = new StreamableHTTPClientTransport(new URL(sidecar.url), {
    requestInit: { headers: { authorization: 'Bearer alice' } },
  });
  await client.connect(transport);
  expect(await client.callTool({ name: 'whoami' })).toMatchObject({ content: [{ text: keyMark('key-of-alice') }] });
  expect(await client.callTool({ name: 'ask' })).toMatchObject({ content: [{ text: 'decline' }] });
  await eventually(() => [...broker.events.values()].some(({ phase }) => phase === 'open'));
  await client.callTool({ name: 'shout' });
  await eventually(() => heard.length === 1);

  const session = { 'mcp-session-id': transport.sessionId! };
  const asBob = { authorization: 'Bearer bob', accept: 'text/event-stream', ...session };
  expect((await post(sidecar.url, rpc('tools/list'), { token: 'bob', headers: session })).status).toBe(404);
  for (const more of [{}, { 'last-event-id': '_GET_stream_0' }]) {
    expect((await fetch(sidecar.url, { headers: { ...asBob, ...more } })).status).toBe(404);
  }
  expect((await fetch(sidecar.url, { method: 'DELETE', headers: asBob })).status).toBe(404);
  const made = JSON.stringify({ jsonrpc: '2.0', id: 77, result: {} });
  expect((await post(sidecar.url, made, { token: 'alice', headers: session })).status).toBe(400);

  expect(await client.callTool({ name: 'whoami' })).toMatchObject({ content: [{ text: keyMark('key-of-alice') }] });
  await transport.terminateSession();
  await client.close();
  await eventually(() => [...broker.events.values()].some(({ phase }) => phase === 'close'));
  const events = [...broker.events.values()].filter(({ subject }) => subject?.id === 'alice');
  expect(new Set(events.map(({ sessionIdHash }) => sessionIdHash)).size).toBe(1);
});
