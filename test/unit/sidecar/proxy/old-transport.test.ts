import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { type Chunks, chunksOf } from '#sidecar/proxy/chunks.ts';
import { EndpointChunks } from '#sidecar/proxy/endpoint-chunks.ts';
import { isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import { heldMax } from '#sidecar/proxy/message-streams.ts';
import { verifies } from '#test/requirements.ts';
import { alice, bodyOf, granted, json, missing, policy, rpc, textOf, world, type WorldOptions } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const bob = { ...granted, subject: { ...alice, id: 'u-2' } };
const accepted = (): ProxyResponse => ({ status: 202, headers: new Fields(), body: undefined });
const result = (id: string | number, value: object = {}): string =>
  `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result: value })}\n\n`;

/** A server of the old transport whose stream says what a test lets it say. */
function set(options: WorldOptions & { readonly endpointData?: string } = {}) {
  const { endpointData = '/message?sessionId=s-1', respond = accepted, ...more } = options;
  const who = { lease: granted as LeaseResponse };
  let say: (text: string | undefined) => void = () => {};
  const opened = (): ProxyResponse => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        say = (text) => (text === undefined ? controller.close() : controller.enqueue(new TextEncoder().encode(text)));
      },
    });
    say(`event: endpoint\ndata: ${endpointData}\n\n`);
    return { status: 200, headers: new Fields({ 'content-type': 'text/event-stream' }), body: chunksOf(body) };
  };
  const all = world({
    endpoint: { path: '/sse', prefix: '' },
    policy: () => ({ ...policy, transport: 'SSE' }),
    lease: async () => who.lease,
    respond: (request) => (request.method === 'GET' ? opened() : respond(request)),
    places: Infinity,
    ...more,
  });
  const open = async (headers: Record<string, string> = {}) => {
    const response = await all.send({ method: 'GET', path: '/sse', headers });
    if (!isChunks(response.body)) throw new Error('expected a stream');
    return reader(response.body);
  };
  const post = (body: string, query = '?sessionId=s-1', path = '/message') => all.send({ path, query, body });
  return { ...all, who, open, post, say: (text?: string) => say(text) };
}

function reader(chunks: Chunks) {
  return {
    chunks,
    async read(): Promise<string | undefined> {
      const chunk = await chunks.read();
      return chunk === undefined ? undefined : new TextDecoder().decode(chunk);
    },
  };
}

describe(verifies('mcp:20-endpoint'), () => {
  const named = (target: string): string => `event: endpoint\ndata: ${target}\n\n`;

  test.each<[string, string]>([
    ['/message?sessionId=s-1', '/message?sessionId=s-1'],
    ['message?sessionId=s-1', '/message?sessionId=s-1'],
    ['http://127.0.0.1:3001/message?sessionId=s-1', '/message?sessionId=s-1'],
    ['https://public.example/a/b?x=1&y=2#part', '/a/b?x=1&y=2'],
    ['?sessionId=s-1', '/sse?sessionId=s-1'],
  ])('%s is %s', async (endpointData, target) => {
    const { open } = set({ endpointData });
    expect(await (await open()).read()).toBe(named(target));
  });

  test.each<[string, Record<string, string>, string]>([
    ['', { 'x-forwarded-prefix': '/notes' }, '/notes'],
    ['/team-a/notes', {}, '/team-a/notes'],
    ['/team-a/notes', { 'x-forwarded-prefix': '/mcp' }, '/mcp/team-a/notes'],
    ['', { 'x-forwarded-prefix': 'https://evil.example' }, ''],
    ['', { 'x-forwarded-prefix': '//evil.example' }, ''],
    ['', { 'x-forwarded-prefix': '/a\u00e9' }, ''],
    ['', { 'x-forwarded-prefix': `/${'a'.repeat(256)}` }, ''],
  ])('behind %j and %j the prefix is %j', async (prefix, headers, expected) => {
    const { open, forwarded } = set({ endpoint: { path: '/sse', prefix } });
    expect(await (await open(headers)).read()).toBe(named(`${expected}/message?sessionId=s-1`));
    expect(forwarded[0]!.headers.has('x-forwarded-prefix')).toBe(false);
  });

  test('what is no URL of HTTP stays as it is, and nobody can post to it', async () => {
    const { open, post } = set({ endpointData: 'javascript:alert(1)' });
    expect(await (await open()).read()).toBe(named('javascript:alert(1)'));
    expect((await post(rpc('ping'))).status).toBe(404);
  });

  test('only the first event names it, and everything after goes on byte for byte', async () => {
    const { open, post, say } = set();
    const stream = await open();
    await stream.read();
    const second = stream.read();
    say('event: endpoint\r\ndata: /other?sessionId=s-2\r\n\r\n');
    expect(await second).toBe('event: endpoint\r\ndata: /other?sessionId=s-2\r\n\r\n');
    expect((await post(rpc('ping'), '?sessionId=s-2', '/other')).status).toBe(404);
  });

  test('of a server of the newer transport nothing is rewritten', async () => {
    const { open, post } = set({ policy: () => policy, endpointData: 'http://127.0.0.1/message' });
    expect(await (await open()).read()).toBe(named('http://127.0.0.1/message'));
    expect((await post(rpc('ping'), '')).status).toBe(404);
  });
});

describe(verifies('mcp:20-owner'), () => {
  test('the user who opened the stream posts, with their key', async () => {
    const { open, post, forwarded } = set();
    await (await open()).read();
    expect((await post(rpc('tools/list'))).status).toBe(202);
    expect(forwarded.at(-1)).toMatchObject({ path: '/message', query: '?sessionId=s-1', isEndpoint: false });
    expect(forwarded.at(-1)!.headers.get('x-api-key')).toBe('key-of-alice');
  });

  test('nobody else does, and nobody anywhere else', async () => {
    const { who, open, post, send, forwarded, events } = set();
    expect((await post(rpc('ping'))).status).toBe(404);
    await (await open()).read();
    const before = forwarded.length;
    for (const [query, path] of [
      ['?sessionId=s-2', '/message'],
      ['', '/message'],
      ['?sessionId=s-1&x=1', '/message'],
      ['?sessionId=s-1', '/admin'],
      ['?sessionId=s-1', '/message/'],
    ] as const) {
      expect((await post(rpc('ping'), query, path)).status).toBe(404);
    }
    for (const method of ['GET', 'DELETE']) {
      expect((await send({ method, path: '/message', query: '?sessionId=s-1' })).status).toBe(404);
    }
    who.lease = bob;
    expect((await post(rpc('ping'))).status).toBe(404);
    expect(events.at(-1)).toMatchObject({ decision: 'denied', subject: { id: 'u-2' } });
    expect(forwarded).toHaveLength(before);
  });

  test('and not after the stream has ended', async () => {
    const { open, post, say } = set();
    const stream = await open();
    await stream.read();
    say();
    expect(await stream.read()).toBeUndefined();
    expect((await post(rpc('ping'))).status).toBe(404);
  });

  test('a message for the endpoint itself goes there, as clients ask it for the newer transport first', async () => {
    const { send, forwarded } = set({ respond: () => json(405, {}) });
    expect((await send({ path: '/sse', body: rpc('initialize') })).status).toBe(405);
    expect(forwarded[0]).toMatchObject({ path: '/sse', isEndpoint: true });
  });

  test('questions of the server are answered by whom it asked', async () => {
    const { who, open, post, say } = set();
    const stream = await open();
    await stream.read();
    const answer = JSON.stringify({ jsonrpc: '2.0', id: 0, result: {} });
    expect((await post(answer)).status).toBe(400);
    say('event: message\ndata: {"jsonrpc":"2.0","id":0,"method":"roots/list"}\n\n');
    await stream.read();
    who.lease = bob;
    expect((await post(answer)).status).toBe(404);
    who.lease = granted;
    expect((await post(answer)).status).toBe(202);
  });
});

describe(verifies('mcp:20-answers'), () => {
  test('the event of a request waits for its answer', async () => {
    const { open, post, say, events } = set();
    const stream = await open();
    await stream.read();
    expect((await post(rpc('tools/call', { name: 'search' }, 7))).status).toBe(202);
    expect(events.map(({ phase }) => phase)).toEqual(['open']);
    const read = stream.read();
    say(result(7, { isError: true }));
    await read;
    expect(events.at(-1)).toMatchObject({ rpcId: '7', tool: 'search', rpcStatus: 0, isError: true, httpStatus: 202 });
    say();
    await stream.read();
    const [open_, call, close] = events;
    expect(call!.sessionIdHash).toBe(close!.sessionIdHash);
    expect(close).toMatchObject({ phase: 'close', streamId: open_!.id });
  });

  test('an answer that is there before the message is accepted counts as well', async () => {
    const late = Promise.withResolvers<ProxyResponse>();
    const { open, post, say, events, forwarded } = set({ respond: () => late.promise });
    const stream = await open();
    await stream.read();
    const posted = post(rpc('ping', {}, 'a'));
    await vi.waitFor(() => expect(forwarded).toHaveLength(2));
    const read = stream.read();
    say(result('a'));
    await read;
    late.resolve(accepted());
    expect((await posted).status).toBe(202);
    expect(events.at(-1)).toMatchObject({ rpcId: 'a', rpcStatus: 0 });
  });

  test('an answer to another id is not taken for it, nor one that never comes waited for', async () => {
    const { open, post, say, events } = set();
    const stream = await open();
    await stream.read();
    await post(rpc('ping', {}, 1));
    const read = stream.read();
    say(result('1'));
    await read;
    expect(events).toHaveLength(1);
    stream.chunks.cancel();
    expect(events.map(({ rpcId, phase }) => rpcId ?? phase).sort()).toEqual(['1', 'close', 'open']);
    expect(events.find(({ rpcId }) => rpcId === '1')).not.toHaveProperty('rpcStatus');
  });

  test.each([400, 404, 500])('a message that the server refuses with %i ends at once', async (status) => {
    const { open, post, events } = set({ respond: () => json(status, {}) });
    await (await open()).read();
    expect((await post(rpc('ping', {}, 1))).status).toBe(status);
    expect(events.at(-1)).toMatchObject({ rpcId: '1', httpStatus: status });
  });

  test('no more than a bounded number waits', async () => {
    const { open, post, events } = set();
    await (await open()).read();
    for (let id = 0; id < heldMax + 5; id += 1) await post(rpc('ping', {}, id));
    expect(events).toHaveLength(1 + 5);
  });

  test('what we answer ourselves comes on the stream', async () => {
    const { who, open, post, events } = set();
    const stream = await open();
    await stream.read();
    who.lease = missing;
    const response = await post(rpc('tools/call', { name: 'search' }, 3));
    expect([response.status, await bodyOf(response)]).toEqual([202, '']);
    const text = (await stream.read())!;
    expect(text).toMatch(/^event: message\ndata: \{.*\}\n\n$/);
    expect(JSON.parse(text.split('data: ')[1]!)).toMatchObject({ id: 3, result: { isError: true } });
    expect(events.at(-1)).toMatchObject({ decision: 'keyMissing', rpcId: '3' });
  });

  test('and so does what we say when the server refuses a key', async () => {
    const { open, post, events } = set({ respond: () => json(401, {}) });
    const stream = await open();
    await stream.read();
    const response = await post(rpc('tools/call', { name: 'search' }, 4));
    expect([response.status, await bodyOf(response)]).toEqual([202, '']);
    const text = (await stream.read())!;
    expect(JSON.parse(text.split('data: ')[1]!)).toMatchObject({ id: 4, result: { isError: true } });
    expect(events.at(-1)).toMatchObject({ decision: 'keyRejected', rpcId: '4' });
  });

  test.each<[string, number, Parameters<typeof set>[0]]>([
    ['a tool is not allowed', 1010, { policy: () => ({ ...policy, transport: 'SSE', tools: [{ deny: ['*'] }] }) }],
    ['the server is gone', 1502, { respond: () => Promise.reject(new Error('gone')) }],
  ])('and so does that %s', async (_what, code, options) => {
    const { open, post, events } = set(options);
    const stream = await open();
    await stream.read();
    const response = await post(rpc('tools/call', { name: 'search' }, 5));
    expect([response.status, await bodyOf(response)]).toEqual([202, '']);
    const text = (await stream.read())!;
    expect(JSON.parse(text.split('data: ')[1]!)).toMatchObject({ id: 5, error: { code } });
    expect(events.at(-1)).toMatchObject({ rpcStatus: code, rpcId: '5' });
  });

  test('a stream that nobody reads takes no more of them than it may', async () => {
    const { who, open, post } = set();
    await open();
    who.lease = missing;
    const statuses = new Set<number>();
    const stream = await open();
    await stream.read();
    for (let id = 0; id < 70; id += 1) statuses.add((await post(rpc('tools/call', { name: 'x' }, id))).status);
    expect([...statuses]).toEqual([202, 200]);
  });
});

test('however a stream is cut, it is the same but for the endpoint', async () => {
  const piece = fc.constantFrom(
    ': note\n',
    'data: 1\n\n',
    'event: endpoint\n',
    'data: /m?s=1\r\n\r\n',
    '\n',
    '\r',
    'id: é\n\n',
    'data',
  );
  const texts = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  await fc.assert(
    fc.asyncProperty(texts, fc.array(fc.nat({ max: 80 }), { maxLength: 6 }), async (text, cuts) => {
      const bytes = new TextEncoder().encode(text);
      const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
      let named: string | undefined;
      const source = chunksOf(ReadableStream.from(chunks));
      const rewritten = new EndpointChunks(source, (data) => {
        named = data;
        return 'REWRITTEN';
      });
      const plain = await textOf(rewritten);
      if (named === undefined) expect(plain).toBe(text);
      else {
        const [before, after] = plain.split('event: endpoint\ndata: REWRITTEN\n\n');
        expect(text.startsWith(before!) && text.endsWith(after!)).toBe(true);
        expect(text.slice(before!.length, text.length - after!.length)).toContain(named.split('\n')[0]);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('a drain ends the stream once the answers under way have come', async () => {
  const { open, post, say, drain } = set();
  const stream = await open();
  await stream.read();
  await post(rpc('ping', {}, 1));
  drain.stop();
  const read = stream.read();
  say(result(1));
  expect(await read).toBe(result(1));
  expect(await stream.read()).toBeUndefined();
  const { open: openAnother, drain: another } = set();
  const idle = await openAnother();
  await idle.read();
  const end = idle.read();
  another.stop();
  expect(await end).toBeUndefined();
});
