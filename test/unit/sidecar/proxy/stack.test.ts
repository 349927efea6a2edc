import { describe, expect, test, vi } from 'vitest';
import { LeaseError } from '#sidecar/leases/lease-error.ts';
import { identityHeaderNames, identityHeaderPrefixes, isReservedHeaderName } from '#contract/headers.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { isChunks } from '#sidecar/proxy/exchange.ts';
import {
  announced,
  bodyOf,
  brokenChunks,
  chunksFrom,
  granted,
  json,
  jsonOf,
  missing,
  pace,
  rpc,
  silence,
  stream,
  streamFrom,
  toolCall,
  world,
} from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

describe('identify', () => {
  test.each([undefined, '', 'Basic YTpi', 'Bearer', 'Bearer a b', 'Bearer a, Bearer b', 'Bearer é'])(
    'answers Authorization %j with a challenge',
    async (authorization) => {
      const lease = vi.fn<() => Promise<typeof granted>>();
      const { send, forwarded } = world({ lease });
      const response = await send({ headers: { authorization: authorization ?? '' } });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer realm="mcp-keyring"/);
      expect(lease).not.toHaveBeenCalled();
      expect(forwarded).toHaveLength(0);
    },
  );

  test('answers a user that the broker does not know with a challenge', async () => {
    const { send } = world({
      lease: { decision: 'unauthenticated', reason: 'TokenExpired', message: 'It has expired.' },
    });
    const response = await send();
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('error_description="TokenExpired"');
  });

  test.each([
    [{ decision: 'unauthenticated', reason: 'IssuerUnavailable', message: '' }, 503],
    [{ decision: 'denied', reason: 'AuditUnavailable', message: '' }, 503],
    [{ decision: 'denied', reason: 'ServerNotFound', message: 'There is no such server.' }, 403],
    [{ decision: 'denied', reason: 'NamespaceHasNoOrganization', message: 'Not served.' }, 403],
  ] as const)('answers %j with %i and without a challenge', async (lease, status) => {
    const { send, forwarded } = world({ lease });
    const response = await send();
    expect(response.status).toBe(status);
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(forwarded).toHaveLength(0);
  });

  test.each(['NotWatching', 'BrokerUnavailable', 'PodRefused', 'TooManyCalls'] as const)(
    'serves nobody when there is no lease (%s)',
    async (code) => {
      const { send, forwarded, events } = world({ lease: () => Promise.reject(new LeaseError(code, 'no')) });
      const response = await send();
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('1');
      expect(forwarded).toHaveLength(0);
      expect(events).toMatchObject([{ decision: 'brokerUnavailable', httpStatus: 503 }]);
    },
  );
});

describe('a missing key', () => {
  test.each([
    'initialize',
    'ping',
    'server/discover',
    'tools/list',
    'prompts/list',
    'resources/list',
    'resources/templates/list',
    'completion/complete',
    'subscriptions/listen',
  ])('does not stop %s', async (method) => {
    const { send, forwarded } = world({ lease: missing });
    await send({ body: rpc(method) });
    expect(forwarded).toHaveLength(1);
    expect(forwarded[0]!.headers.has('x-api-key')).toBe(false);
    expect(forwarded[0]!.headers.has('authorization')).toBe(false);
  });

  test('does not stop notifications and answers', async () => {
    const question = 'data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}\n\n';
    const { send, forwarded } = world({ lease: missing, respond: () => stream(question) });
    await send({ body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/made-up' }) });
    await bodyOf(await send({ body: rpc('tools/list') }));
    await send({ body: JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} }) });
    expect(forwarded).toHaveLength(3);
  });

  test.each(['GET', 'DELETE'])('does not stop %s', async (method) => {
    const { send, forwarded } = world({ lease: missing });
    await send({ method });
    expect(forwarded).toHaveLength(1);
  });

  test('is told by a tool result that names the header and where to set it', async () => {
    const { send, forwarded, events } = world({ lease: missing });
    const response = await send();
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toEqual({
      jsonrpc: '2.0',
      id: 1,
      result: {
        isError: true,
        content: [
          {
            type: 'text',
            text: [
              'Notes needs your own key, and you have not set one.',
              'Header X-Api-Key (Notes API key) - Make a read-only key - https://notes.example/keys',
              'Set it with: kubectl mcpkeys set notes -n team-a',
            ].join('\n'),
          },
        ],
      },
    });
    expect(forwarded).toHaveLength(0);
    expect(events).toMatchObject([{ decision: 'keyMissing', tool: 'search', httpStatus: 200 }]);
  });

  test('is a complete result to a modern client', async () => {
    const { send } = world({ lease: missing });
    const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
    const response = await send({
      body: rpc('tools/call', { name: 'search', _meta: meta }, 'x'),
      headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'search' },
    });
    expect(await jsonOf(response)).toMatchObject({ id: 'x', result: { resultType: 'complete', isError: true } });
  });

  test.each([
    ['missing', 1001, 'you have not set one'],
    ['invalid', 1002, 'was rejected'],
    ['expired', 1003, 'has expired'],
    ['pendingApproval', 1004, 'waits for approval'],
  ] as const)('that is %s is an error of ours to other requests', async (decision, code, words) => {
    const { send } = world({ lease: { ...missing, decision } });
    const response = await send({ body: rpc('prompts/get', { name: 'p' }) });
    expect(response.status).toBe(200);
    const body = (await jsonOf(response)) as { error: { code: number; message: string; data: unknown } };
    expect(body.error.code).toBe(code);
    expect(body.error.message).toContain(words);
    expect(body.error.data).toEqual({ reason: decision, headers: missing.hints });
  });

  test('that cannot be read is told like one that is missing', async () => {
    const { send } = world({
      lease: { decision: 'denied', reason: 'KeyUnreadable', message: 'Ask your administrator.' },
    });
    expect(await bodyOf(await send())).toContain('cannot be read');
  });
});

describe('headers', () => {
  test.each([
    'x-api-key',
    'X-API-KEY',
    'x_api_key',
    'X-Second',
    'x_second',
    'cookie',
    'Proxy-Authorization',
    'proxy_authorization',
  ])('that a client sends as %s do not reach the upstream', async (name) => {
    const { send, forwarded } = world();
    await send({ headers: { [name]: 'forged' } });
    expect([...forwarded[0]!.headers].flat()).not.toContain('forged');
    expect(forwarded[0]!.headers.get('x-api-key')).toBe('key-of-alice');
  });

  test.each([
    ...identityHeaderNames,
    ...identityHeaderPrefixes.map((prefix) => `${prefix}-x`),
    'X_Forwarded_User',
    'X-Remote_User',
    'Impersonate_User',
  ])('in which a front proxy says who the user is are not for clients: %s', async (name) => {
    const { send, forwarded } = world();
    await send({ headers: { [name]: 'admin' } });
    expect([...forwarded[0]!.headers].flat()).not.toContain('admin');
  });

  test.each(['Mcp_Session_Id', 'mcp_protocol-version', 'Content_Length', 'X_Forwarded_For'])(
    'that a CGI server takes for ones that were judged under another spelling stay here: %s',
    async (name) => {
      const { send, forwarded } = world();
      await send({ headers: { [name]: '1' } });
      expect(forwarded[0]!.headers.has(name)).toBe(false);
    },
  );

  test('of an identity carry the key of the user where the server declares them', async () => {
    const headers = [{ name: 'X-Remote-User', value: 'key' }];
    const { send, forwarded } = world({ lease: { ...granted, headers } });
    await send({ headers: { 'x-remote-user': 'admin', x_remote_user: 'admin' } });
    expect(forwarded[0]!.headers.get('x-remote-user')).toBe('key');
    expect([...forwarded[0]!.headers].flat()).not.toContain('admin');
  });

  test('that say on what way a request came go on', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'a.example' };
    const { send, forwarded } = world();
    await send({ headers });
    expect(Object.fromEntries(forwarded[0]!.headers)).toMatchObject(headers);
  });

  test.each([
    'user-agent',
    'traceparent',
    'tracestate',
    'baggage',
    'cache-control',
    'content-language',
    'range',
    'if-none-match',
    'x-http-method-override',
  ])('that no key may go into go on as the client sent them: %s', async (name) => {
    const { send, forwarded } = world();
    await send({ headers: { [name]: 'mine' } });
    expect(isReservedHeaderName(name)).toBe(true);
    expect(forwarded[0]!.headers.get(name)).toBe('mine');
  });

  test('that a lease brings are stripped although the policy does not name them yet', async () => {
    const headers = [{ name: 'X-New', value: 'key' }];
    const { send, forwarded } = world({ lease: { ...granted, headers } });
    await send({ headers: { x_new: 'forged', 'x-new': 'forged' } });
    expect([...forwarded[0]!.headers].flat()).not.toContain('forged');
    expect(forwarded[0]!.headers.get('x-new')).toBe('key');
  });

  test('of the connection stay on it, and naming the key there does not take it away', async () => {
    const { send, forwarded } = world({
      respond: () =>
        json(200, {}, { connection: 'x-private', 'x-private': '1', 'keep-alive': 'timeout=5', 'x-kept': '1' }),
    });
    const response = await send({
      headers: { connection: 'close, X-Api-Key, x-hop, a b', 'x-hop': '1', te: 'trailers', upgrade: 'h2c' },
    });
    expect([...forwarded[0]!.headers.keys()]).toEqual(['content-type', 'x-api-key', 'accept-encoding']);
    expect([...response.headers.keys()]).toEqual(['content-type', 'x-kept']);
  });
});

describe('a body', () => {
  test('refuses a declared length without reading', async () => {
    const { send, forwarded, events } = world();
    const response = await send({ body: 'x'.repeat(1_001) });
    expect(response.status).toBe(413);
    expect(await jsonOf(response)).toMatchObject({ jsonrpc: '2.0', error: { code: 1413 } });
    expect(response.headers.get('connection')).toBe('close');
    expect(forwarded).toHaveLength(0);
    expect(events).toMatchObject([{ decision: 'tooLarge', httpStatus: 413 }]);
  });

  test('stops reading a body of unknown length where it becomes too large', async () => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1;
        controller.enqueue(new Uint8Array(400));
      },
    });
    expect((await world().send({ body: endless })).status).toBe(413);
    expect(pulled).toBeLessThan(6);
  });

  test('takes a body in chunks whole', async () => {
    const { send, forwarded } = world();
    await send({ body: streamFrom(toolCall.slice(0, 20), toolCall.slice(20)) });
    expect(new TextDecoder().decode(forwarded[0]!.body)).toBe(toolCall);
  });

  test('gives the memory of its pieces back, but for what shares it with something else', async () => {
    const alone = [toolCall.slice(0, 20), toolCall.slice(20, 40)].map((text) => new TextEncoder().encode(text));
    const shared = new TextEncoder().encode(`${toolCall.slice(40)}POST /mcp`);
    const last = shared.subarray(0, toolCall.length - 40);
    const { send, forwarded } = world();
    await send({ body: ReadableStream.from([...alone, last]) });
    expect(new TextDecoder().decode(forwarded[0]!.body)).toBe(toolCall);
    expect(alone.map(({ byteLength }) => byteLength)).toEqual([0, 0]);
    expect(new TextDecoder().decode(shared)).toBe(`${toolCall.slice(40)}POST /mcp`);
  });

  test.each([undefined, 50, 900])('of declared length %j that does not come is not waited for', async (declared) => {
    const { send, events } = world({ pace: { ...pace, windowMs: 20 } });
    const response = await send({ body: announced(new ReadableStream({}), declared) });
    expect(response.status).toBe(408);
    expect(response.headers.get('connection')).toBe('close');
    expect(await jsonOf(response)).toMatchObject({ jsonrpc: '2.0', error: { code: 1408 } });
    expect(events).toMatchObject([{ decision: 'badRequest', httpStatus: 408 }]);
  });

  test.each([
    ['too slowly', { ...pace, windowMs: 40 }],
    ['for too long', { ...pace, windowBytesMin: 1, bodyMsMax: 40 }],
  ])('that comes %s is ended', async (_how, slow) => {
    let cancelled = false;
    const drip = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        if (!cancelled) controller.enqueue(new Uint8Array(1));
      },
      cancel: () => void (cancelled = true),
    });
    const { send } = world({ pace: slow });
    expect((await send({ body: announced(drip, 900) })).status).toBe(408);
    expect(cancelled).toBe(true);
  });

  test('takes room only for what is here of it', async () => {
    const { send } = world();
    const waiting = Array.from({ length: 64 }, () => send({ body: announced(new ReadableStream({}), 1_000) }));
    expect((await send()).status).toBe(200);
    expect((await Promise.all(waiting)).map((response) => response.status)).toEqual(Array(64).fill(408));
  });

  test('gives its room back when it is ended', async () => {
    const { send } = world({ pace: { ...pace, windowMs: 20 }, bodies: new BodyBudget(1_000) });
    const begun = () =>
      new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(900)) });
    for (let time = 0; time < 3; time += 1) expect((await send({ body: begun() })).status).toBe(408);
    expect((await send()).status).toBe(200);
  });

  test('of somebody who is not known is not read', async () => {
    const body = new ReadableStream<Uint8Array>({}, { highWaterMark: 0 });
    const { send } = world();
    expect((await send({ body: announced(body, 900), headers: { authorization: '' } })).status).toBe(401);
    expect(body.locked).toBe(false);
  });

  test('holds no more bodies than fit, and forgets those that were answered', async () => {
    const waiting: (() => void)[] = [];
    const { send, forwarded } = world({
      bodies: new BodyBudget(toolCall.length * 2),
      respond: () => new Promise((resolve) => waiting.push(() => resolve(json(200, {})))),
    });
    const first = [send(), send()];
    await vi.waitFor(() => expect(forwarded).toHaveLength(2));
    expect((await send()).status).toBe(503);
    for (const answer of waiting) answer();
    await Promise.all(first);
    const later = send();
    await vi.waitFor(() => expect(waiting).toHaveLength(3));
    waiting[2]!();
    expect((await later).status).toBe(200);
  });

  test('refuses a head with too many fields', async () => {
    const headers = Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`x-${at}`, '1']));
    expect((await world().send({ headers })).status).toBe(431);
  });
});

describe('targets', () => {
  test.each(['/', '/mcp/', '/mcp2', '/MCP'])('has nothing at %s', async (path) => {
    expect((await world().send({ path })).status).toBe(404);
  });

  test.each(['PUT', 'HEAD', 'OPTIONS', 'BREW'])('does not know %s', async (method) => {
    const response = await world().send({ method, body: '' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST, GET, DELETE');
  });

  test('forwards the query', async () => {
    const { send, forwarded } = world();
    await send({ query: '?a=1' });
    expect(forwarded[0]!.query).toBe('?a=1');
  });

  test.each([
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ origin: 'https://app.example, https://app.example' }, 403],
    [{ origin: 'https://app.example' }, 200],
    [{ host: 'evil.example' }, 403],
    [{ host: 'Notes.example:80' }, 200],
    [{ host: '' }, 403],
  ])('answers %j with %i where hosts and origins are listed', async (headers, status) => {
    const allowed = { hosts: ['notes.example'], origins: ['https://app.example'], ownHosts: [] };
    expect((await world({ allowed }).send({ headers: { host: 'notes.example', ...headers } })).status).toBe(status);
  });
});

describe('classify', () => {
  test.each([
    undefined,
    'text/plain',
    'application/json; charset=utf-16',
    'application/jsonp',
    'application/json, text/plain',
  ])('refuses content of type %j', async (type) => {
    expect((await world().send({ headers: { 'content-type': type ?? '' } })).status).toBe(415);
  });

  test.each(['application/json; charset=utf-8', 'application/json;charset="UTF-8"', 'Application/JSON'])(
    'takes content of type %j',
    async (type) => {
      expect((await world().send({ headers: { 'content-type': type } })).status).toBe(200);
    },
  );

  test('forwards the bytes it judged', async () => {
    const body = new TextEncoder().encode(' { "id" : "\\u00e9", "jsonrpc":"2.0", "method":"ping" } ');
    const { send, forwarded } = world();
    await send({ body });
    expect(forwarded[0]!.body).toEqual(body);
  });

  test('refuses a body where none belongs', async () => {
    expect((await world().send({ method: 'DELETE', body: toolCall })).status).toBe(400);
  });
});

describe('audit', () => {
  test('refuses a request that it could not record, before anything is done for it', async () => {
    const lease = vi.fn<() => Promise<typeof granted>>();
    const { send, forwarded, events, ended } = world({ places: 0, lease });
    const response = await send();
    expect(response.status).toBe(503);
    expect(await jsonOf(response)).toMatchObject({ error: { code: 1504 } });
    expect(lease).not.toHaveBeenCalled();
    expect(forwarded).toHaveLength(0);
    expect(events).toHaveLength(0);
    expect(ended).toHaveLength(1);
  });

  test('records a stream when it ends, with all its bytes', async () => {
    const { send, events } = world({
      respond: () => ({
        status: 200,
        headers: new Fields({ 'content-type': 'text/event-stream' }),
        body: chunksFrom('abc', 'defg'),
      }),
    });
    const response = await send();
    expect(events).toHaveLength(0);
    expect(await bodyOf(response)).toBe('abcdefg');
    expect(events).toMatchObject([
      {
        at: '2026-11-24T00:00:00.000Z',
        type: 'request',
        subject: { id: 'u-1' },
        leaseId: 'lease-1',
        keyVersion: 2,
        decision: 'forwarded',
        requestBytes: toolCall.length,
        responseBytes: 7,
        rpcId: '1',
      },
    ]);
  });

  test('records once when the client leaves in the middle of a stream', async () => {
    const leaving = new AbortController();
    let cancelled = false;
    const { send, events, ended } = world({
      respond: () => ({
        status: 200,
        headers: new Fields(),
        body: silence(() => (cancelled = true)),
      }),
    });
    const response = await send({ signal: leaving.signal });
    leaving.abort();
    if (isChunks(response.body)) response.body.cancel();
    expect(cancelled).toBe(true);
    expect(events).toMatchObject([{ decision: 'clientClosed', httpStatus: 200 }]);
    expect(ended).toHaveLength(1);
  });

  test('records a client that left before the answer', async () => {
    const leaving = new AbortController();
    const { send, events } = world({
      respond: () => {
        leaving.abort();
        throw new Error('aborted');
      },
    });
    await send({ signal: leaving.signal });
    expect(events).toMatchObject([{ decision: 'clientClosed', httpStatus: 0 }]);
  });

  test('records a stream that broke off, and passes the break on', async () => {
    const { send, events } = world({
      respond: () => ({
        status: 200,
        headers: new Fields(),
        body: brokenChunks(),
      }),
    });
    await expect(bodyOf(await send())).rejects.toThrow('reset');
    expect(events).toMatchObject([{ decision: 'upstreamUnavailable', httpStatus: 200 }]);
  });

  test('cuts what a client made long', async () => {
    const { send, events } = world();
    await send({ body: rpc('tools/call', { name: 'x'.repeat(300) }) });
    expect(events[0]!.tool).toHaveLength(256);
  });
});

describe('failures', () => {
  const refuse = () => Promise.reject(new Error('refused'));

  test('of the upstream are an answer to the request, with its id', async () => {
    const { send, events } = world({ respond: refuse });
    const response = await send({ body: rpc('tools/call', { name: 'a' }, 'id-1') });
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toMatchObject({ id: 'id-1', error: { code: 1502 } });
    expect(events).toMatchObject([{ decision: 'upstreamUnavailable', httpStatus: 200, rpcStatus: 1502 }]);
  });

  test('of the upstream are a status to what has no answer, and to the question which revision there is', async () => {
    const { send } = world({ respond: refuse, places: 1_000 });
    const notification = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });
    const told = await send({ body: notification });
    expect([told.status, told.body]).toEqual([502, undefined]);
    expect((await send({ method: 'GET' })).status).toBe(502);
    const discovery = await send({ body: rpc('server/discover', {}, 'probe') });
    expect(discovery.status).toBe(502);
    expect(await jsonOf(discovery)).toMatchObject({ id: 'probe', error: { code: 1502 } });
  });

  test('that pass say when to try again, in the head and where clients show it', async () => {
    const { send } = world({ lease: () => Promise.reject(new LeaseError('BrokerUnavailable', 'no')) });
    const response = await send();
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await jsonOf(response)).toMatchObject({ error: { code: 1503, data: { retryAfter: 1 } } });
  });

  test('that nobody thought of are a 500 that says nothing, and are reported', async () => {
    const { send, unexpected, events } = world({ lease: () => Promise.reject(new Error('secret detail')) });
    const response = await send();
    expect(response.status).toBe(500);
    expect(await bodyOf(response)).not.toContain('secret detail');
    expect(unexpected).toHaveLength(1);
    expect(events).toHaveLength(1);
  });
});

describe('drain', () => {
  const open = () => ({ ...stream(), body: silence() });

  test('ends streams that clients keep open, cleanly', async () => {
    const { send, drain, events } = world({ respond: open });
    const get = await send({ method: 'GET' });
    const listen = await send({ body: rpc('subscriptions/listen') });
    const texts = [bodyOf(get), bodyOf(listen)];
    drain.stop();
    expect(await Promise.all(texts)).toEqual(['', '']);
    expect(events.map(({ phase }) => phase)).toEqual(['open', 'open', 'close', 'close']);
    expect(await bodyOf(await send({ method: 'GET' }))).toBe('');
  });

  test('leaves answers alone', async () => {
    const { send, drain } = world({ respond: () => ({ ...open(), body: chunksFrom('a', 'b') }) });
    const response = await send();
    drain.stop();
    expect(await bodyOf(response)).toBe('ab');
  });
});
