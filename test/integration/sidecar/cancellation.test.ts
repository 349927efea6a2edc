import { beforeAll, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { buildOnce } from './support/sidecar-process.ts';
import { call, eventually, post, rpc } from './support/wire.ts';
import { setUpSidecar } from './support/set-up.ts';

beforeAll(buildOnce);

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const modern = {
  body: rpc('tools/call', { name: 'slow', arguments: {}, _meta: meta }),
  headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'slow' },
};
const legacy = { body: call('slow'), headers: { 'mcp-session-id': 's-1', 'mcp-protocol-version': '2025-11-25' } };

/** A server that never answers a call, and takes notifications. */
const setUp = () =>
  setUpSidecar({
    respond: (_request, response, body) => {
      if (body.includes('"notifications/')) response.writeHead(202).end();
    },
  });

test(verifies('mcp:23-client-leaves'), async () => {
  await using world = await setUp();
  for (const [index, { body, headers }] of [modern, legacy].entries()) {
    const leaving = new AbortController();
    const answer = post(world.sidecar.url, body, { token: 'alice', headers, signal: leaving.signal });
    answer.catch(() => {});
    await eventually(() => world.upstream.received.length === index + 1);
    leaving.abort();
    await eventually(() => world.upstream.aborted === index + 1, 500);
  }
  await eventually(() => world.broker.events.size === 2);
  expect([...world.broker.events.values()].map(({ decision, era }) => [decision, era])).toEqual([
    ['clientClosed', 'modern'],
    ['clientClosed', 'legacy'],
  ]);
  // Nothing was made up in the client's name.
  expect(world.upstream.received).toHaveLength(2);
});

test(verifies('mcp:24-cancelled'), async () => {
  await using world = await setUp();
  const { headers } = legacy;
  const answer = post(world.sidecar.url, call('slow', {}, 'call-7'), { token: 'alice', headers });
  answer.catch(() => {});
  await eventually(() => world.upstream.received.length === 1);
  const cancelled =
    '{"jsonrpc":"2.0", "method":"notifications/cancelled","params":{"requestId":"call-7","reason":"no"}}';
  const response = await post(world.sidecar.url, cancelled, { token: 'alice', headers });
  expect(response.status).toBe(202);
  expect(await response.text()).toBe('');
  const seen = world.upstream.received[1];
  expect(seen).toMatchObject({ body: cancelled, headers: { ...headers, 'x-api-key': 'key-of-alice' } });
});
