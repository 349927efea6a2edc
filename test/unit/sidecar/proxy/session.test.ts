import { describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { clientCapabilitiesKey, parseMessage, protocolVersionKey } from '#sidecar/mcp/message.ts';
import type { ClassifiedRequest } from '#sidecar/proxy/exchange.ts';
import { bindSession } from '#sidecar/proxy/layers/bind-session.ts';
import { MessageStreams } from '#sidecar/proxy/message-streams.ts';
import { Belongings, Ownership, sessionBounds } from '#sidecar/proxy/ownership.ts';
import { newRecord } from '#sidecar/proxy/record.ts';
import { verifies } from '#test/requirements.ts';
import {
  chunksFrom,
  alice,
  bodyOf,
  granted,
  json,
  jsonOf,
  missing,
  policy,
  rpc,
  server,
  stream,
  world,
  type WorldOptions,
} from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

describe('a session', () => {
  const begin = (id: string) => () => json(200, {}, { 'mcp-session-id': id });
  const bob = { ...granted, subject: { ...alice, id: 'u-2' } };

  function setUp(respond: NonNullable<WorldOptions['respond']> = begin('s-1'), more: WorldOptions = {}) {
    const who = { lease: granted as LeaseResponse };
    return { who, ...world({ lease: async () => who.lease, respond, places: Infinity, ...more }) };
  }

  test(verifies('mcp:08-session-owner'), async () => {
    const { who, send, forwarded, events } = setUp();
    await send({ body: rpc('initialize') });
    expect((await send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(200);
    who.lease = bob;
    const response = await send({ headers: { 'Mcp-Session-Id': 's-1' }, body: rpc('tools/list', {}, 'x') });
    expect(response.status).toBe(404);
    expect(await jsonOf(response)).toEqual({
      jsonrpc: '2.0',
      id: 'x',
      error: { code: -32_001, message: 'Session not found' },
    });
    for (const method of ['GET', 'DELETE']) {
      expect((await send({ method, headers: { 'mcp-session-id': 's-1' } })).status).toBe(404);
    }
    expect(forwarded).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ decision: 'denied', subject: { id: 'u-2' } });
  });

  test('stays with the user when the key behind it changes', async () => {
    const { who, send } = setUp();
    await send({ body: rpc('initialize') });
    who.lease = missing;
    expect((await send({ body: rpc('tools/list'), headers: { 'mcp-session-id': 's-1' } })).status).toBe(200);
  });

  test('that is not remembered belongs to the first whom the upstream lets in with it', async () => {
    const { who, send } = setUp(() => json(200, {}));
    expect((await send({ headers: { 'mcp-session-id': 'old' } })).status).toBe(200);
    who.lease = bob;
    expect((await send({ headers: { 'mcp-session-id': 'old' } })).status).toBe(404);
  });

  test("that was ended is anybody's", async () => {
    const { who, send } = setUp(() => json(200, {}));
    await send({ method: 'DELETE', headers: { 'mcp-session-id': 's-2' } });
    who.lease = bob;
    expect((await send({ headers: { 'mcp-session-id': 's-2' } })).status).toBe(200);
  });

  test("is not pushed out of memory by another user's made-up ids", async () => {
    const { who, send } = setUp(({ headers }) =>
      headers.get('mcp-session-id') === null ? begin('s-1')() : json(200, {}),
    );
    await send({ body: rpc('initialize') });
    who.lease = bob;
    for (let id = 0; id < sessionBounds.allMax + 1; id += 1) {
      await send({ method: 'GET', headers: { 'mcp-session-id': `made-up-${id}` } });
    }
    expect((await send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(404);
    who.lease = granted;
    expect((await send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(200);
  });

  test('cannot be taken by naming it before it begins', async () => {
    const { who, send, forwarded } = setUp(({ headers }) =>
      headers.get('mcp-session-id') === null ? begin('s-1')() : json(headers.has('x-known') ? 200 : 404, {}),
    );
    who.lease = bob;
    expect((await send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(404);
    who.lease = granted;
    await send({ body: rpc('initialize') });
    expect((await send({ headers: { 'mcp-session-id': 's-1', 'x-known': '1' } })).status).toBe(200);
    who.lease = bob;
    const before = forwarded.length;
    expect((await send({ headers: { 'mcp-session-id': 's-1', 'x-known': '1' } })).status).toBe(404);
    expect(forwarded).toHaveLength(before);
  });

  test('goes to whom the upstream begins it for, even where somebody was let in with its id before', async () => {
    const { who, send } = setUp(({ headers }) => (headers.has('mcp-session-id') ? json(200, {}) : begin('1')()));
    who.lease = bob;
    await send({ headers: { 'mcp-session-id': '1' } });
    who.lease = granted;
    await send({ body: rpc('initialize') });
    expect((await send({ headers: { 'mcp-session-id': '1' } })).status).toBe(200);
    who.lease = bob;
    expect((await send({ headers: { 'mcp-session-id': '1' } })).status).toBe(404);
  });

  test.each([
    [rpc('tools/list'), 200],
    [rpc('initialize'), 400],
  ])('is not begun by the answer to %s with status %i', async (body, status) => {
    const { who, send } = setUp(() => json(status, {}, { 'mcp-session-id': 's-3' }));
    await send({ body });
    who.lease = bob;
    expect((await send({ headers: { 'mcp-session-id': 's-3' } })).status).toBe(status);
  });

  test(verifies('mcp:09-same-user'), async () => {
    const { who, send, forwarded } = setUp(({ method }) =>
      method === 'POST' ? begin('s-1')() : stream('data: 1\n\n'),
    );
    await send({ body: rpc('initialize') });
    const headers = { 'mcp-session-id': 's-1', 'last-event-id': '7' };
    for (const method of ['GET', 'DELETE']) {
      who.lease = bob;
      expect((await send({ method, headers })).status).toBe(404);
      who.lease = granted;
      expect((await send({ method, headers })).status).toBe(200);
      expect(forwarded.at(-1)!.headers.get('x-api-key')).toBe('key-of-alice');
      expect(forwarded.at(-1)!.headers.get('last-event-id')).toBe('7');
    }
    expect(forwarded).toHaveLength(3);
  });

  test("belongs to its user at one server of a proxy, and is no other server's", async () => {
    const belongings = new Belongings();
    const at = (name: string) => setUp(begin('s-1'), { belongings, server: { namespace: 'team-a', name } });
    await at('notes').send({ body: rpc('initialize') });
    const [again, wiki] = [at('notes'), at('wiki')];
    again.who.lease = bob;
    wiki.who.lease = bob;
    expect((await again.send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(404);
    expect((await wiki.send({ headers: { 'mcp-session-id': 's-1' } })).status).toBe(200);
  });

  test('says what its client can do', async () => {
    const ownership = new Ownership(new Belongings(), server);
    const seen: unknown[] = [];
    const streams = new MessageStreams();
    const handler = bindSession({
      ownership,
      streams,
      endpoint: { path: '/mcp' },
      opensUrls: ({ message }) => message?.kind === 'request' && message.elicitsUrl,
      rescue: (error) => {
        throw error;
      },
    })(async (request) => {
      seen.push(request.session?.elicitsUrl);
      return json(200, {}, { 'mcp-session-id': 's-1' });
    });
    for (const capabilities of [{ elicitation: { url: {} } }, {}]) {
      for (const body of [rpc('initialize', { capabilities }), rpc('tools/list')]) {
        await handler(classified(body, body.includes('initialize') ? {} : { 'mcp-session-id': 's-1' }));
      }
    }
    expect(seen).toEqual([undefined, true, undefined, false]);
  });

  test.each(['s-1, s-2', 's 1', 'é'])('has no id like %j', async (id) => {
    const { send, forwarded } = setUp();
    expect((await send({ headers: { 'mcp-session-id': id } })).status).toBe(404);
    expect(forwarded).toHaveLength(0);
  });
});

function classified(body: string, headers: Record<string, string>): ClassifiedRequest {
  const bytes = new TextEncoder().encode(body);
  const parsed = parseMessage(bytes);
  if (parsed.kind === 'invalid') throw new Error(parsed.problem);
  const record = newRecord('POST', { startedMs: 0, at: new Date(0) });
  return {
    method: 'POST',
    path: '/mcp',
    query: '',
    headers: new Fields(headers),
    body: { declaredBytes: bytes.byteLength, here: () => bytes, chunks: () => chunksFrom() },
    signal: new AbortController().signal,
    peer: '10.0.0.1',
    record,
    permission: granted,
    bytes,
    message: parsed.message,
  };
}

describe('two users of one server', () => {
  const bob = { ...granted, subject: { ...alice, id: 'u-2' } };
  const answer = (id: string | number): string => JSON.stringify({ jsonrpc: '2.0', id, result: { action: 'accept' } });
  const question = (id: string | number): string =>
    `data: ${JSON.stringify({ jsonrpc: '2.0', id, method: 'elicitation/create', params: {} })}\n\n`;

  function setUp(respond: NonNullable<WorldOptions['respond']>, more: WorldOptions = {}) {
    const who = { lease: granted as LeaseResponse };
    const { send, ...rest } = world({
      policy: () => policy,
      lease: async () => who.lease,
      respond,
      places: Infinity,
      ...more,
    });
    const statusOf = async (body: string, session?: string): Promise<number> =>
      (await send({ body, headers: session === undefined ? {} : { 'mcp-session-id': session } })).status;
    return { who, send, statusOf, ...rest };
  }

  test(verifies('mcp:09-posted-answers'), async () => {
    const { who, send, statusOf, forwarded } = setUp(({ method, headers }) => {
      if (method === 'GET') return stream(question('e-1'), question(7));
      return { status: headers.has('refuse') ? 500 : 202, headers: new Fields(), body: undefined };
    });
    const headers = { 'mcp-session-id': 's-1' };
    expect(await statusOf(answer('e-1'), 's-1')).toBe(400);
    await bodyOf(await send({ method: 'GET', headers }));
    const before = forwarded.length;
    expect(await statusOf(answer('e-2'), 's-1')).toBe(400);
    expect(await statusOf(answer('7'), 's-1')).toBe(400);
    expect(await statusOf(answer('e-1'), 's-2')).toBe(400);
    expect(await statusOf(answer('e-1'))).toBe(400);
    who.lease = bob;
    expect(await statusOf(answer('e-1'), 's-1')).toBe(404);
    expect(await statusOf(answer('e-1'))).toBe(400);
    expect(forwarded).toHaveLength(before);
    who.lease = granted;
    expect((await send({ body: answer('e-1'), headers: { ...headers, refuse: '1' } })).status).toBe(500);
    expect(await statusOf(answer('e-1'), 's-1')).toBe(202);
    expect(forwarded.at(-1)!.headers.get('x-api-key')).toBe('key-of-alice');
    expect(await statusOf(answer('e-1'), 's-1')).toBe(400);
    expect(await statusOf(answer(7), 's-1')).toBe(202);
  });

  test('one replica of many takes answers to what another has asked, but not in the session of somebody else', async () => {
    const respond = (): ReturnType<typeof json> => json(200, {}, { 'mcp-session-id': 's-1' });
    const { who, send, statusOf } = setUp(respond, { belongings: new Belongings('part') });
    await send({ body: rpc('initialize') });
    expect(await statusOf(answer(0), 's-1')).toBe(200);
    who.lease = bob;
    expect(await statusOf(answer(0), 's-1')).toBe(404);
  });

  test('in the modern era nothing is asked, so nothing is answered', async () => {
    const { send, statusOf } = setUp(() => stream(question(0)));
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
    const meta = { [protocolVersionKey]: '2026-07-28', [clientCapabilitiesKey]: {} };
    expect(await bodyOf(await send({ body: rpc('tools/list', { _meta: meta }), headers }))).toBe(question(0));
    expect(await statusOf(answer(0))).toBe(400);
  });

  test('a server without sessions gets answers from whom it asked', async () => {
    const { who, send, statusOf } = setUp(({ body }) =>
      new TextDecoder().decode(body).includes('tools/call')
        ? stream(question(0))
        : { status: 202, headers: new Fields(), body: undefined },
    );
    await bodyOf(await send());
    who.lease = bob;
    expect(await statusOf(answer(0))).toBe(400);
    who.lease = granted;
    expect(await statusOf(answer(0))).toBe(202);
  });

  test.each<[string, object]>([
    ['2025-11-25', { task: { taskId: 't-1', status: 'working' } }],
    ['2026-07-28', { resultType: 'task', taskId: 't-1' }],
  ])(`${verifies('mcp:08-tasks')} (%s)`, async (_revision, result) => {
    const { who, send, forwarded } = setUp(() => json(200, { jsonrpc: '2.0', id: 1, result }));
    await send();
    who.lease = bob;
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/update', 'tasks/delete', 'tasks/x']) {
      const response = await send({ body: rpc(method, { taskId: 't-1' }, 'x') });
      expect(response.status).toBe(200);
      expect(await jsonOf(response)).toEqual({
        jsonrpc: '2.0',
        id: 'x',
        error: { code: -32_602, message: 'Task not found' },
      });
    }
    expect(forwarded).toHaveLength(1);
    who.lease = granted;
    expect((await send({ body: rpc('tasks/get', { taskId: 't-1' }) })).status).toBe(200);
  });

  test("a task that was not seen to begin is nobody's: the server is asked for one that does not exist", async () => {
    const { who, send, forwarded } = setUp(() => json(200, { jsonrpc: '2.0', id: 1, result: {} }));
    for (const method of ['tasks/get', 'tasks/cancel', 'tasks/get']) {
      for (const lease of [granted, bob]) {
        who.lease = lease;
        await send({ body: rpc(method, { taskId: 't-1', more: [1] }) });
      }
    }
    const bodies = forwarded.map(({ body }) => new TextDecoder().decode(body));
    expect(bodies.join()).not.toContain('t-1');
    expect(new Set(bodies).size).toBe(6);
    expect(bodies[0]).toMatch(/"params":\{"taskId":"[-0-9a-f]{36}","more":\[1\]\}/);
  });

  test('a task that began in a stream belongs to whose stream it was', async () => {
    const begun = `data: ${JSON.stringify({ jsonrpc: '2.0', id: 1, result: { task: { taskId: 't-1' } } })}\n\n`;
    const { who, send } = setUp(() => stream(begun));
    await bodyOf(await send());
    who.lease = bob;
    expect(await bodyOf(await send({ body: rpc('tasks/get', { taskId: 't-1' }) }))).toContain('Task not found');
  });
});
