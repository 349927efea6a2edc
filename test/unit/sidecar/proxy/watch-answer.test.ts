import { describe, expect, test } from 'vitest';
import { parseAuditBatch } from '#contract/parse-requests.ts';
import { protocolVersionKey } from '#sidecar/mcp/message.ts';
import type { ProxyResponse } from '#sidecar/proxy/exchange.ts';
import { verifies } from '#test/requirements.ts';
import { bodyOf, chunksFrom, granted, json, rpc, silence, stream, toolCall, world } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

/** Nothing is attached, so nothing is looked for in what comes back. */
const withoutKey = { ...granted, headers: [] };
const result = (more: object, id: string | number = 1): string => JSON.stringify({ jsonrpc: '2.0', id, result: more });
const failure = (code: number): object => ({ jsonrpc: '2.0', id: 1, error: { code, message: 'no' } });

describe('what an answer says of itself is on record', () => {
  test.each<[string, () => ProxyResponse, object]>([
    ['a result', () => json(200, { jsonrpc: '2.0', id: 1, result: {} }), { rpcStatus: 0 }],
    ['a failed tool', () => json(200, JSON.parse(result({ isError: true }))), { rpcStatus: 0, isError: true }],
    ['an error', () => json(200, failure(-32_602)), { rpcStatus: -32_602 }],
    ['an error of HTTP', () => json(400, failure(-32_000)), { rpcStatus: -32_000, httpStatus: 400 }],
    ['a new task', () => json(200, JSON.parse(result({ task: { taskId: 't' } }))), { rpcStatus: 0, taskId: 't' }],
    [
      'an event',
      () => stream(`event: message\ndata: ${result({ isError: true })}\n\n`),
      { rpcStatus: 0, isError: true },
    ],
    ['an event in pieces', () => stream(...`data: ${result({ isError: true })}\n\n`.split('')), { isError: true }],
    [
      'the last event',
      () => stream('data: {"method":"notifications/progress"}\n\n', `data: ${result({})}\n\n`),
      { rpcStatus: 0 },
    ],
    [
      'an answer in pieces',
      () => ({ ...json(200, {}), body: chunksFrom(...result({ isError: true }).split('')) }),
      { isError: true },
    ],
  ])('%s', async (_what, respond, expected) => {
    const { send, events } = world({ respond });
    const sent = respond();
    expect(await bodyOf(await send())).toBe(await bodyOf(sent));
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject(expected);
    expect(parseAuditBatch({ events })).toEqual(events);
  });

  test.each<[string, () => ProxyResponse]>([
    ['an answer to something else', () => stream(`data: ${result({ isError: true }, 2)}\n\n`)],
    ['an answer that broke off', () => stream(`data: ${result({ isError: true })}`)],
    ['text', () => ({ ...json(200, {}), headers: new Fields({ 'content-type': 'text/plain' }) })],
    ['an answer in a code', () => json(200, JSON.parse(result({ isError: true })), { 'content-encoding': 'gzip' })],
  ])('not of %s', async (_what, respond) => {
    const { send, events } = world({ respond, lease: withoutKey });
    await bodyOf(await send());
    expect(events[0]).not.toHaveProperty('isError');
    expect(events[0]).not.toHaveProperty('rpcStatus');
  });

  test('of our own as well', async () => {
    const { send, events } = world({ respond: () => Promise.reject(new Error('gone')) });
    await send();
    expect(events[0]).toMatchObject({ rpcStatus: 1502, decision: 'upstreamUnavailable' });
  });
});

describe(verifies('mcp:17-no-stream'), () => {
  test.each([200, 204, 202])('an answer of status %i to GET that is no stream is 405', async (status) => {
    const { send, events } = world({ respond: () => ({ ...json(status, {}), body: silence() }) });
    const response = await send({ method: 'GET' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
    expect(events).toMatchObject([{ httpStatus: 405, decision: 'forwarded' }]);
    expect(events[0]).not.toHaveProperty('phase');
  });

  test.each<['GET' | 'DELETE', number]>([
    ['GET', 405],
    ['DELETE', 405],
    ['GET', 400],
    ['GET', 404],
    ['DELETE', 200],
  ])('%s answered with %i goes through as it is', async (method, status) => {
    const { send } = world({ respond: () => json(status, { any: 'body' }, { allow: 'POST' }) });
    const response = await send({ method });
    expect([response.status, await bodyOf(response)]).toEqual([status, '{"any":"body"}']);
  });
});

describe('a stream that stays open', () => {
  test(verifies('mcp:29-stream-events'), async () => {
    const { send, events } = world({ respond: () => stream('data: {"jsonrpc":"2.0","method":"x"}\n\n') });
    const response = await send({ method: 'GET', headers: { 'mcp-session-id': 's-1' } });
    expect(events).toMatchObject([{ phase: 'open', httpStatus: 200, decision: 'forwarded', responseBytes: 0 }]);
    const text = await bodyOf(response);
    expect(events).toHaveLength(2);
    const [open, close] = events;
    expect(close).toMatchObject({ phase: 'close', streamId: open!.id, responseBytes: text.length, httpStatus: 200 });
    expect(open!.streamId).toBe(open!.id);
    expect(close!.id).not.toBe(open!.id);
    expect(close!.at > open!.at).toBe(true);
    expect(close!.sessionIdHash).toBe(open!.sessionIdHash);
    expect(parseAuditBatch({ events })).toEqual(events);
  });

  test('of the modern era has two events as well', async () => {
    const { send, events } = world({ respond: () => stream('data: {}\n\n') });
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' };
    const meta = { [protocolVersionKey]: '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
    await bodyOf(await send({ body: rpc('subscriptions/listen', { _meta: meta, notifications: {} }), headers }));
    expect(events.map(({ phase, method }) => [phase, method])).toEqual([
      ['open', 'subscriptions/listen'],
      ['close', 'subscriptions/listen'],
    ]);
  });

  test('is not opened when that cannot be recorded', async () => {
    let cancelled = false;
    const { send, events } = world({
      places: 1,
      respond: () => ({ ...stream(), body: silence(() => (cancelled = true)) }),
    });
    expect((await send({ method: 'GET' })).status).toBe(503);
    expect(cancelled).toBe(true);
    expect(events).toMatchObject([{ decision: 'brokerUnavailable' }]);
  });
});

describe(verifies('mcp:19-stream-headers'), () => {
  test.each([
    [undefined, 'no-cache, no-transform'],
    ['no-cache', 'no-cache, no-transform'],
    ['no-store, No-Transform', 'no-store, No-Transform'],
  ])('cache-control %j becomes %j', async (given, expected) => {
    const response = stream('data: 1\n\n');
    if (given !== undefined) response.headers.set('cache-control', given);
    const { send } = world({ respond: () => response });
    const { headers } = await send();
    expect(headers.get('cache-control')).toBe(expected);
    expect(headers.get('x-accel-buffering')).toBe('no');
  });

  test('other answers keep theirs', async () => {
    const { send } = world({ respond: () => json(200, {}, { 'cache-control': 'max-age=1' }) });
    const { headers } = await send();
    expect(headers.get('cache-control')).toBe('max-age=1');
    expect(headers.has('x-accel-buffering')).toBe(false);
  });

  test('a compressed stream goes on as it is', async () => {
    const response = stream('\u001f data');
    response.headers.set('content-encoding', 'gzip');
    const { send } = world({ respond: () => response, lease: withoutKey });
    expect(await bodyOf(await send({ body: toolCall }))).toBe('\u001f data');
  });
});

test(verifies('mcp:18-sse-bytes'), async () => {
  const parts = [
    'id: 1\r\ndata: \r\n\r\n',
    'retry: 50\n',
    ': note\n',
    '\ndata: é'.slice(0, 9),
    '\r',
    '\rdata: {"a":1}\r\n\r',
    '\nrest',
  ];
  const { send } = world({ lease: withoutKey, respond: () => stream(...parts) });
  const { body } = await send();
  const got: string[] = [];
  if (body === undefined || body instanceof Uint8Array) throw new Error('expected a stream');
  for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read())
    got.push(new TextDecoder().decode(chunk));
  // The last line is not complete, and could have become anything.
  expect(got).toEqual([...parts.slice(0, -1), '\n', 'rest']);
});
