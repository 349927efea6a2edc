import { expect, test } from 'vitest';
import { parseAuditBatch } from '#contract/parse-requests.ts';
import { protocolVersionKey } from '#sidecar/mcp/message.ts';
import { hashOf } from '#sidecar/proxy/sessions.ts';
import { verifies } from '#test/requirements.ts';
import { alice, json, rpc, server, world } from './world.ts';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

test(verifies('mcp:29-audit-record'), async () => {
  const answer = {
    jsonrpc: '2.0',
    id: 'id-1',
    result: { isError: true, task: { taskId: 't-7' }, content: ['secret result'] },
  };
  const { send, events } = world({ respond: () => json(200, answer) });
  const body = rpc('tools/call', { name: 'search', arguments: { q: 'private words' } }, 'id-1');
  await send({ body, headers: { 'mcp-session-id': 's-1', traceparent } });
  const [event] = events;
  expect(parseAuditBatch({ events })).toEqual(events);
  expect(event).toMatchObject({
    server,
    subject: alice,
    leaseId: 'lease-1',
    keyVersion: 2,
    era: 'legacy',
    method: 'tools/call',
    tool: 'search',
    rpcId: 'id-1',
    sessionIdHash: hashOf('s-1'),
    traceId: '0af7651916cd43dd8448eb211c80319c',
    decision: 'forwarded',
    httpStatus: 200,
    upstreamFirstByteMs: 5,
    requestBytes: body.length,
    responseBytes: JSON.stringify(answer).length,
    rpcStatus: 0,
    isError: true,
    taskId: 't-7',
  });
  expect(event!.durationMs).toBeGreaterThan(5);
  expect(Date.parse(event!.at)).toBe(Date.UTC(2026, 10, 24));
  const text = JSON.stringify(event);
  for (const secret of ['private words', 'secret result', 'key-of-alice', '"s-1"', 'Bearer'])
    expect(text).not.toContain(secret);
});

test.each<[string, object, object]>([
  ['prompts/get', { name: 'greet' }, { prompt: 'greet' }],
  ['resources/read', { uri: 'https://bob:pass@host/a?token=x#y' }, { uri: 'https://host/a' }],
  ['resources/read', { uri: 'file:///a/@b' }, { uri: 'file:///a/@b' }],
  ['resources/subscribe', { uri: 'file:///a' }, { uri: 'file:///a' }],
  ['tasks/get', { taskId: 't-1' }, { taskId: 't-1' }],
  ['tasks/result', { taskId: 't-1' }, { taskId: 't-1' }],
])('says what %s is about', async (method, params, expected) => {
  const { send, events } = world();
  await send({ body: rpc(method, params) });
  expect(events[0]).toMatchObject(expected);
  expect(events[0]).not.toHaveProperty('tool');
});

test('knows the two eras apart', async () => {
  const { send, events } = world();
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
  await send({ body: rpc('tools/list', { _meta: { [protocolVersionKey]: '2026-07-28' } }), headers });
  await send({ body: rpc('tools/list') });
  expect(events.map(({ era }) => era)).toEqual(['modern', 'legacy']);
});

test(verifies('mcp:31-trace-context'), async () => {
  const { send, events, forwarded } = world();
  const inner = '00-11111111111111111111111111111111-b7ad6b7169203331-01';
  const body = rpc('tools/list', { _meta: { traceparent: inner } });
  await send({ body, headers: { traceparent } });
  await send({ body: rpc('tools/list', { _meta: { traceparent: 'none of the kind' } }), headers: { traceparent } });
  await send({ body: rpc('tools/list'), headers: { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` } });
  expect(events.map(({ traceId }) => traceId)).toEqual([
    '11111111111111111111111111111111',
    '0af7651916cd43dd8448eb211c80319c',
    undefined,
  ]);
  expect(new TextDecoder().decode(forwarded[0]!.body)).toBe(body);
  expect(forwarded[0]!.headers.get('traceparent')).toBe(traceparent);
});
