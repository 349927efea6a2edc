/** Sessions of a remote server at two replicas of the gateway, with two users. */
import { randomUUID } from 'node:crypto';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

const wiki = { namespace: 'team-b', name: 'wiki' };
const initialize = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };

/** Lets everybody in who shows an id that it has given to anybody, as servers do that know no users. */
async function startServer(certificate: Awaited<ReturnType<typeof makeTestCertificate>>) {
  const sessions = new Set<string>();
  return Upstream.recording((request, response, body) => {
    const shown = String(request.headers['mcp-session-id'] ?? '');
    const { id, method } = (body === '' ? {} : JSON.parse(body)) as { id?: unknown; method?: string };
    if (method === 'initialize') {
      const begun = randomUUID();
      sessions.add(begun);
      const result = { ...initialize, clientInfo: undefined, serverInfo: { name: 'wiki', version: '1' } };
      response.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': begun });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { ...result, capabilities: { tools: {} } } }));
      return;
    }
    if (!sessions.has(shown)) return void response.writeHead(404).end();
    if (id === undefined) return void response.writeHead(request.method === 'GET' ? 405 : 202).end();
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: shown }], tools: [] } }),
    );
  }, certificate);
}

test(verifies('mcp:08-replicas'), async () => {
  const certificate = await makeTestCertificate(['localhost']);
  await using upstream = await startServer(certificate);
  await using broker = await BrokerDouble.start();
  for (const user of ['alice', 'bob']) broker.setLease(user, granted(user, `key-of-${user}`));
  broker.others.set('team-b/wiki', {
    ...policy,
    server: wiki,
    sessionKey: Buffer.alloc(32, 9).toString('base64url'),
    upstream: {
      kind: 'remote',
      url: `https://localhost:${upstream.port}/mcp`,
      ca: certificate.ca,
      allowPrivateAddresses: true,
    },
  });
  const start = () => SidecarProcess.start({ broker, upstreamPort: 0, serving: ['--mode=gateway'] });
  const urlOf = ({ port }: SidecarProcess) => `http://127.0.0.1:${port}/team-b/wiki/mcp`;
  const first = await start();
  await using second = await start();

  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'legacy' } });
  const requestInit = { headers: { authorization: 'Bearer alice' } };
  const transport = new StreamableHTTPClientTransport(new URL(urlOf(first)), { requestInit });
  await client.connect(transport);
  const result = await client.callTool({ name: 'whoami' });
  const id = transport.sessionId!;
  const [said] = result.content;
  const serversId = said?.type === 'text' ? said.text : '';
  expect(id.startsWith(`${serversId}.`)).toBe(true);

  const callAs = (token: string, url: string, session: string) =>
    post(url, rpc('tools/list'), { token, headers: { 'mcp-session-id': session } });
  const attack = async (url: string) => {
    const before = upstream.received.length;
    for (const stolen of [id, serversId, `${id.slice(0, -2)}AA`]) {
      expect((await callAs('bob', url, stolen)).status).toBe(404);
      for (const method of ['GET', 'DELETE']) {
        const headers = { authorization: 'Bearer bob', accept: 'text/event-stream', 'mcp-session-id': stolen };
        expect((await fetch(url, { method, headers })).status).toBe(404);
      }
    }
    expect(upstream.received).toHaveLength(before);
  };
  await attack(urlOf(second));
  expect((await callAs('alice', urlOf(second), id)).status).toBe(200);
  await attack(urlOf(first));
  await first[Symbol.asyncDispose]();
  await using again = await start();
  await attack(urlOf(again));
  expect((await callAs('alice', urlOf(again), id)).status).toBe(200);
  await client.close().catch(() => {});
});
