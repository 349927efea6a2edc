import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { setUpSidecar } from './support/set-up.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

const bucket = 'mcp_server_session_duration_seconds_bucket';
const count = 'mcp_server_session_duration_seconds_count';

test(verifies('mcp:30-session-duration'), async () => {
  let sessions = 0;
  await using world = await setUpSidecar({
    respond: (request, response, body) => {
      if (request.method === 'GET') return void response.writeHead(405).end();
      if (request.method === 'DELETE') return void response.writeHead(200).end();
      const { id, method } = JSON.parse(body) as { id?: unknown; method: string };
      if (id === undefined) return void response.writeHead(202).end();
      if (method === 'ping') return void response.writeHead(404).end();
      const serverInfo = { name: 'x', version: '1' };
      const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
      const session = { 'mcp-session-id': `s-${(sessions += 1)}` };
      response.writeHead(200, { 'content-type': 'application/json', ...session });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    },
  });
  const client = new Client({ name: 'test', version: '1' });
  const requestInit = { headers: { authorization: 'Bearer alice' } };
  const transport = new StreamableHTTPClientTransport(new URL(world.sidecar.url), { requestInit });
  await client.connect(transport);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await transport.terminateSession();
  await client.close();
  await post(world.sidecar.url, rpc('initialize'), { token: 'alice' });
  const headers = { 'mcp-session-id': 's-2', 'mcp-protocol-version': '2020-01-01' };
  expect((await post(world.sidecar.url, rpc('ping'), { token: 'alice', headers })).status).toBe(404);
  await eventually(async () => (await world.sidecar.metrics()).includes(`${count}{mcp_protocol_version="_OTHER"`));
  const metrics = await world.sidecar.metrics();
  expect(metrics).toContain(`${count}{mcp_protocol_version="2025-11-25"} 1`);
  expect(metrics).toContain(`${bucket}{mcp_protocol_version="2025-11-25",le="0.2"} 0`);
  expect(metrics).toContain(`${bucket}{mcp_protocol_version="2025-11-25",le="300"} 1`);
  expect(metrics).toContain(`${count}{mcp_protocol_version="_OTHER",error_type="404"} 1`);
  expect(metrics).not.toMatch(/mcp_server_session[^\n]*(?:alice|s-1|2020)/);
});

test('a stream of the transport of 2024-11-05 is a session', async () => {
  await using upstream = await Upstream.recording((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: endpoint\ndata: /message?sessionId=m1\n\n');
  });
  await using broker = await BrokerDouble.start();
  broker.policy = { ...policy, transport: 'SSE' };
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port, path: '/sse' });
  const leaving = new AbortController();
  const headers = { authorization: 'Bearer alice', accept: 'text/event-stream' };
  const stream = await fetch(sidecar.url, { headers, signal: leaving.signal });
  await stream.body!.getReader().read();
  expect(await sidecar.metrics()).not.toContain(count);
  leaving.abort();
  await eventually(async () => (await sidecar.metrics()).includes(`${count}{mcp_protocol_version="2024-11-05"} 1`));
});
