/** The rules of the protocol as a client meets them, through the whole stack. */
import { describe, expect, test } from 'vitest';
import { Http1Error } from '#sidecar/http1/http1-error.ts';
import { rpcCodes } from '#sidecar/mcp/answers.ts';
import { protocolVersionKey } from '#sidecar/mcp/message.ts';
import { LeaseError } from '#sidecar/leases/lease-error.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { UserShares } from '#sidecar/proxy/user-shares.ts';
import { verifies } from '#test/requirements.ts';
import { bodyOf, chunksFrom, json, jsonOf, missing, policy, rpc, world, type WorldOptions } from './world.ts';

const meta = { [protocolVersionKey]: '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const repeated = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'read' };
const modernCall = rpc('tools/call', { name: 'read', arguments: {}, _meta: meta }, 'id-7');

describe(verifies('mcp:03-headers-repeat-body'), () => {
  test.each([
    ['name', { 'mcp-name': 'delete' }],
    ['name in base64', { 'mcp-name': '=?base64?ZGVsZXRl?=' }],
    ['name that is no base64', { 'mcp-name': '=?base64?ZGVsZXR?=' }],
    ['method', { 'mcp-method': 'tools/list' }],
    ['version', { 'mcp-protocol-version': '2025-11-25' }],
  ])('refuses another %s', async (_what, change) => {
    const { send, forwarded, events } = world();
    const response = await send({ body: modernCall, headers: { ...repeated, ...change } });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ id: 'id-7', error: { code: -32_020 } });
    expect(forwarded).toHaveLength(0);
    expect(events).toMatchObject([{ decision: 'badRequest', method: 'tools/call', tool: 'read', rpcId: 'id-7' }]);
  });

  test.each(Object.keys(repeated))('refuses a request without %s', async (header) => {
    const { send } = world();
    const headers: Record<string, string> = { ...repeated };
    delete headers[header];
    const response = await send({ body: modernCall, headers });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ id: 'id-7', error: { code: -32_020 } });
  });

  test('takes a name in base64, and hands all headers on as they are', async () => {
    const { send, forwarded } = world();
    const headers = { ...repeated, 'mcp-name': '=?base64?cmVhZA==?=', 'mcp-param-region': '=?base64?w7w=?=' };
    expect((await send({ body: modernCall, headers })).status).toBe(200);
    expect(Object.fromEntries(forwarded[0]!.headers)).toMatchObject(headers);
  });

  test('does not take the word of a header that the body is modern', async () => {
    const { send, forwarded } = world();
    const response = await send({ body: rpc('tools/call', { name: 'read' }, 'id-8'), headers: repeated });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toMatchObject({ id: 'id-8', error: { code: -32_602 } });
    expect(forwarded).toHaveLength(0);
  });

  test('leaves a revision that it does not know to the upstream', async () => {
    const unsupported = { jsonrpc: '2.0', id: 1, error: { code: -32_022, message: 'no', data: { supported: [] } } };
    const { send, forwarded } = world({ respond: () => json(400, unsupported) });
    const body = rpc('tools/call', { name: 'read', _meta: { [protocolVersionKey]: '2027-01-01' } });
    const response = await send({ body, headers: { ...repeated, 'mcp-protocol-version': '2027-01-01' } });
    expect(response.status).toBe(400);
    expect(await jsonOf(response)).toEqual(unsupported);
    expect(forwarded).toHaveLength(1);
  });
});

test.each([{}, { 'mcp-protocol-version': '2025-11-25' }])(
  `${verifies('mcp:04-no-policy-on-headers')} (%j)`,
  async (version) => {
    const { send, forwarded, events } = world({ lease: missing });
    const headers = { 'mcp-method': 'tools/list', 'mcp-name': 'harmless', ...version };
    const called = await send({ body: rpc('tools/call', { name: 'delete' }), headers });
    expect(await jsonOf(called)).toMatchObject({ result: { isError: true } });
    await send({ body: rpc('tools/list'), headers: { ...headers, 'mcp-method': 'tools/call' } });
    expect(forwarded.map((request) => request.headers.get('mcp-method'))).toEqual(['tools/call']);
    expect(forwarded[0]!.headers.get('mcp-name')).toBe('harmless');
    expect(events).toMatchObject([{ method: 'tools/call', tool: 'delete' }, { method: 'tools/list' }]);
  },
);

interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly id?: string | number;
}

const utf8 = new TextEncoder();
const call = rpc('tools/call', { name: 'read' });

describe(verifies('mcp:05-one-reading'), () => {
  test.each<[string, string | Uint8Array, Refusal]>([
    ['a batch', `[${call}]`, { status: 400, code: -32_600 }],
    ['a key twice', call.replace('"name"', '"name":"delete","name"'), { status: 400, code: -32_600 }],
    [
      'a key twice, once escaped',
      call.replace('"name"', '"n\\u0061me":"delete","name"'),
      { status: 400, code: -32_600 },
    ],
    [
      'a key twice, deep in what nobody here reads',
      rpc('tools/call', { name: 'read', arguments: { a: [{ b: { c: 1, x: 2 } }] } }).replace('"x"', '"c"'),
      { status: 400, code: -32_600 },
    ],
    ['a key in other letters', call.replace('"name"', '"NAME":"delete","name"'), { status: 400, code: -32_600, id: 1 }],
    ['a request that is a response as well', call.replace('{', '{"result":{},'), { status: 400, code: -32_600 }],
    ['a byte order mark', `\u{feff}${call}`, { status: 400, code: -32_700 }],
    ['invalid UTF-8', utf8.encode(call).map((byte) => (byte === 0x72 ? 0xff : byte)), { status: 400, code: -32_700 }],
    ['half a surrogate pair', call.replace('read', '\\ud800'), { status: 400, code: -32_600, id: 1 }],
    ['more bytes than are allowed', rpc('tools/call', { name: 'x'.repeat(2_000) }), { status: 413, code: 1413 }],
    [
      'params that are a list',
      '{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}',
      { status: 400, code: -32_600, id: 'a' },
    ],
    ['an id of null', '{"jsonrpc":"2.0","id":null,"method":"ping"}', { status: 400, code: -32_600 }],
  ])('refuses %s', async (_what, body, expected) => {
    const { send, forwarded, events } = world();
    const response = await send({ body });
    expect(response.status).toBe(expected.status);
    const answer = (await jsonOf(response)) as { id?: unknown; error: { code: number } };
    expect(answer.error.code).toBe(expected.code);
    expect(answer.id).toBe(expected.id);
    expect(forwarded).toHaveLength(0);
    expect(events).toHaveLength(1);
  });

  test.each(['application/json; charset=utf-16', 'text/plain', 'application/json, application/json', ''])(
    'refuses the media type %j',
    async (type) => {
      const { send } = world();
      expect((await send({ headers: { 'content-type': type } })).status).toBe(415);
    },
  );
});

describe(verifies('mcp:15-own-codes'), () => {
  test('no code of ours lies where the protocol has its own', () => {
    // -32001 is what the official SDK says of an unknown session, and we say it where we stand in for the upstream.
    const protocols = new Set<number>([-32_700, -32_600, -32_602, -32_042, -32_020, -32_001]);
    const own = Object.values(rpcCodes).filter((code) => !protocols.has(code));
    expect(own.filter((code) => code >= -32_768 && code <= -32_000)).toEqual([]);
  });

  test.each([
    ['a notification', { jsonrpc: '2.0', method: 'notifications/cancelled', params: { _meta: meta } }, 400],
    ['a response', { jsonrpc: '2.0', id: 5, result: {} }, 400],
  ])('%s that fails is answered without a body', async (_what, message, status) => {
    const { send } = world({ respond: () => Promise.reject(new Error('gone')) });
    const response = await send({ body: JSON.stringify(message), headers: { 'mcp-protocol-version': '2025-11-25' } });
    expect(response.status).toBe(status);
    expect(await bodyOf(response)).toBe('');
    expect(response.headers.get('content-type')).toBeNull();
  });
});

/** Every error that can end a request after it was read, and how it comes about. */
const afterReading: readonly [string, number, WorldOptions & { readonly method?: string }][] = [
  ['the server is gone', 1502, { respond: () => Promise.reject(new Error('gone')) }],
  ['the forward proxy refuses', 1510, { respond: () => Promise.reject(new Http1Error('ProxyFailed', '407')) }],
  ['no connection comes about', 1509, { respond: () => Promise.reject(new Http1Error('ConnectTimeout', 'late')) }],
  ['the server speaks HTTP/2', 1508, { respond: () => Promise.reject(new Http1Error('OtherProtocol', 'h2')) }],
  ['the server is late', 1506, { respond: () => Promise.reject(new Http1Error('AnswerTimeout', 'late')) }],
  ['the server codes its answer', 1012, { respond: () => json(200, {}, { 'content-encoding': 'gzip' }) }],
  ['a list cannot be judged', 1011, { respond: () => json(200, [{ tasks: [] }]), method: 'tasks/list' }],
  ['a tool is not allowed', 1010, { policy: () => ({ ...policy, tools: [{ deny: ['*'] }] }) }],
  [
    'there is no room to judge a list',
    1505,
    {
      respond: () => ({ ...json(200, {}), body: chunksFrom('x'.repeat(4_000)) }),
      bodies: new BodyBudget(1_000),
      method: 'tasks/list',
    },
  ],
  [
    'the proxy has a defect',
    1500,
    {
      outcomes: {
        isWatching: true,
        rejected: () => {},
        accepted: () => {
          throw new TypeError('no');
        },
        ends: () => {},
      },
    },
  ],
];

test(`${verifies('mcp:14-handshake-without-key')}: nor does what we refuse look like the answer of an older server`, async () => {
  // Clients go on in the legacy era after an error in JSON, a 400, a 404 or a 405.
  const failures: readonly WorldOptions[] = [
    { places: 0 },
    { bodies: new BodyBudget(1) },
    { userPlaces: new UserShares(0) },
    { lease: () => Promise.reject(new LeaseError('BrokerUnavailable', 'no')) },
    { respond: () => Promise.reject(new Error('gone')) },
    { respond: () => json(200, {}, { 'content-encoding': 'gzip' }) },
  ];
  for (const failure of failures) {
    const response = await world(failure).send({ body: rpc('server/discover', {}, 'probe') });
    expect(response.status).toBeGreaterThanOrEqual(500);
  }
});

describe(verifies('mcp:15-answers'), () => {
  test.each(afterReading)('%s', async (_what, code, { method = 'tools/call', ...options }) => {
    const { send, events } = world(options);
    const response = await send({ body: rpc(method, { name: 'x' }, 'id-7') });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await jsonOf(response)).toMatchObject({ jsonrpc: '2.0', id: 'id-7', error: { code } });
    expect(events.at(-1)).toMatchObject({ rpcStatus: code, rpcId: 'id-7' });
  });

  test('no 200 goes out without an id, which clients would wait for', async () => {
    for (const body of ['', '[]', '{}', 'x', rpc('tools/call').replace('"id":1,', '"id":null,')]) {
      expect((await world().send({ body })).status).toBeGreaterThanOrEqual(400);
    }
    expect((await world({ places: 0 }).send()).status).toBe(503);
    expect((await world({ bodies: new BodyBudget(1) }).send()).status).toBe(503);
  });
});

test.each([
  ['tools/list', true],
  ['resources/read', true],
  ['tools/call', false],
  ['made/up', false],
])('tells the upstream leg whether %s may be sent twice: %s', async (method, repeatable) => {
  const { send, forwarded } = world();
  await send({ body: rpc(method, { name: 'x', uri: 'x' }) });
  await send({ body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }) });
  await send({ method: 'GET' });
  expect(forwarded.map((request) => request.repeatable)).toEqual([repeatable, false, true]);
});
