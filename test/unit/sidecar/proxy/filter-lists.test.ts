import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PolicySnapshot } from '#contract/watch.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { type Chunks, chunksOf } from '#sidecar/proxy/chunks.ts';
import { isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import { listBytesMax } from '#sidecar/proxy/filtered-events.ts';
import { verifies } from '#test/requirements.ts';
import { bodyOf, chunksFrom, json, jsonOf, missing, policy, rpc, silence, stream, streamFrom, world } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const restricted: PolicySnapshot = { ...policy, tools: [{ deny: ['drop_*'] }] };
const tools = [{ name: 'get' }, { name: 'drop_a' }, { name: 'put' }];
const kept = [{ name: 'get' }, { name: 'put' }];
const listed = (list: readonly object[] = tools, id: string | number = 1) => ({
  jsonrpc: '2.0',
  id,
  result: { tools: list },
});
const list = rpc('tools/list');
const modernList = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/list',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
});
const modernHeaders = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };

function event(value: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(value)}\n\n`;
}

/** What a client reads of a stream, without comments of ours. */
function messagesOf(text: string): unknown[] {
  return text.split('\n\n').flatMap((block) => {
    const data = block.split('\n').filter((line) => line.startsWith('data: '));
    return data.length === 0 ? [] : [JSON.parse(data.map((line) => line.slice(6)).join('\n')) as unknown];
  });
}

describe('a list as JSON', () => {
  test('goes out without the tools that the policy hides, with the right length', async () => {
    const respond = () => json(200, listed(), { 'content-length': '999', etag: '"1"', 'x-kept': '1' });
    const { send, events } = world({ policy: () => restricted, respond });
    const response = await send({ body: list });
    const body = await bodyOf(response);
    expect(JSON.parse(body)).toEqual(listed(kept));
    expect(response.headers.get('content-length')).toBe(String(body.length));
    expect(response.headers.get('etag')).toBeNull();
    expect(response.headers.get('x-kept')).toBe('1');
    expect(events).toMatchObject([{ decision: 'forwarded', responseBytes: body.length }]);
  });

  test(verifies('mcp:16-private-lists'), async () => {
    const list = { jsonrpc: '2.0', id: 1, result: { tools, cacheScope: 'public', resultType: 'complete' } };
    const { send } = world({ policy: () => restricted, respond: () => json(200, list) });
    expect(await jsonOf(await send({ body: modernList, headers: modernHeaders }))).toEqual({
      ...list,
      result: { tools: kept, cacheScope: 'private', resultType: 'complete' },
    });
    const asking = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'get' };
    const call = modernList.replace('tools/list', 'tools/call').replace('"params":{', '"params":{"name":"get",');
    const written = await world({ lease: missing }).send({ body: call, headers: asking });
    expect(await jsonOf(written)).toMatchObject({ result: { resultType: 'complete' } });
    const silent = world({ policy: () => restricted, respond: () => json(200, listed()) });
    expect(await jsonOf(await silent.send({ body: modernList, headers: modernHeaders }))).toMatchObject({
      result: { tools: kept, cacheScope: 'private' },
    });
  });

  test('comes in chunks as well', async () => {
    const text = JSON.stringify(listed());
    const respond = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-type': 'application/json' }),
      body: chunksFrom(text.slice(0, 40), text.slice(40)),
    });
    const { send } = world({ policy: () => restricted, respond });
    expect(await jsonOf(await send({ body: list }))).toEqual(listed(kept));
  });

  test('goes on byte for byte where no tool is hidden, also to a user without a key', async () => {
    const answer = json(200, listed(kept));
    expect((await world({ policy: () => restricted, respond: () => answer }).send({ body: list })).body).toBe(
      answer.body,
    );
    const all = json(200, listed());
    expect((await world({ respond: () => all }).send({ body: list })).body).toBe(all.body);
    const keyless = world({ policy: () => restricted, lease: missing, respond: () => json(200, listed()) });
    expect(await jsonOf(await keyless.send({ body: list }))).toEqual(listed(kept));
  });

  test('of another kind is nobody’s business', async () => {
    const answer = json(200, listed());
    const { send } = world({ policy: () => restricted, respond: () => answer });
    expect((await send({ body: rpc('prompts/list') })).body).toBe(answer.body);
  });

  test.each([400, 404, 500])('that is an error of status %i goes on byte for byte', async (status) => {
    const answer = json(status, { code: -32_000, message: 'Bad Request: "tools"' });
    const { send } = world({ policy: () => restricted, respond: () => answer });
    const response = await send({ body: list });
    expect(response.status).toBe(status);
    expect(response.body).toBe(answer.body);
  });

  test.each<[string, () => ProxyResponse]>([
    ['in two readings', () => text('{"id":1,"result":{"tools":[],"tools":[{"name":"drop_a"}]}}')],
    ['as a batch', () => json(200, [listed()])],
    ['as bytes that are no text', () => ({ ...json(200, {}), body: Uint8Array.from([0x7b, 0xff, 0x7d]) })],
    ['with an error status', () => json(500, [listed()])],
    ['as plain text', () => ({ ...text(JSON.stringify([listed()])), headers: new Fields() })],
    ['without end', () => ({ ...json(200, {}), body: endless() })],
  ])('that comes %s does not go out', async (_how, respond) => {
    const { send, events } = world({ policy: () => restricted, respond, bodies: new BodyBudget(100_000_000) });
    const response = await send({ body: list });
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toMatchObject({ id: 1, error: { code: 1011 } });
    expect(events).toMatchObject([{ decision: 'upstreamUnavailable' }]);
  });

  test('that is coded does not go out', async () => {
    const respond = () => json(200, listed(), { 'content-encoding': 'br' });
    const { send } = world({ policy: () => restricted, lease: missing, respond });
    expect(await jsonOf(await send({ body: list }))).toMatchObject({ error: { code: 1012 } });
  });

  test('that breaks off is an error that can be read', async () => {
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('{"id":1,')),
      pull: (controller) => controller.error(new Error('reset')),
    });
    const respond = (): ProxyResponse => ({ ...json(200, {}), body: chunksOf(broken) });
    const { send } = world({ policy: () => restricted, respond });
    expect(await jsonOf(await send({ body: list }))).toMatchObject({ error: { code: 1502 } });
  });

  test('takes its room among all bodies, and gives it back', async () => {
    const bodies = new BodyBudget(2_500);
    const big = `${JSON.stringify(listed())}${' '.repeat(1_900)}`;
    const respond = (): ProxyResponse => ({ ...json(200, {}), body: chunksOf(streamFrom(big, ' ')) });
    const { send } = world({ policy: () => restricted, bodies, respond });
    for (let time = 0; time < 3; time += 1) expect((await send({ body: list })).status).toBe(200);
    const tight = world({ policy: () => restricted, bodies: new BodyBudget(1_000), respond });
    expect(await jsonOf(await tight.send({ body: list }))).toMatchObject({ error: { code: 1505 } });
  });

  test.each([
    ['with its end', 'data: '],
    ['without its end', ''],
  ])('gives the room of an event stream that came whole back: %s', async (_name, begin) => {
    const event = `data: ${JSON.stringify(listed())}\n\n`;
    const whole = Buffer.from(`${event}${begin}${' '.repeat(600)}`);
    const respond = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-type': 'text/event-stream' }),
      body: whole,
    });
    const { send } = world({ policy: () => restricted, bodies: new BodyBudget(4_000), respond });
    for (let time = 0; time < 20; time += 1) {
      const answer = await send({ body: list });
      expect(await bodyOf(answer)).not.toContain('1505');
    }
  });
});

describe('a list that two parsers could read in two ways', () => {
  const utf16 = Buffer.from(JSON.stringify(listed()), 'utf16le');
  const reversed = Buffer.from(utf16).swap16();
  const utf32 = Buffer.from(Array.from(Buffer.from(JSON.stringify(listed())), (byte) => [0, 0, 0, byte]).flat());
  const text = JSON.stringify(listed());
  test.each<[string, Buffer, string?]>([
    ['in UTF-16', utf16],
    ['in UTF-16, the other way round', reversed],
    ['in UTF-16 with its mark', Buffer.concat([Buffer.from([0xff, 0xfe]), utf16])],
    ['in UTF-32', utf32],
    ['with a byte order mark', Buffer.from(`\uFEFF${text}`)],
    ['said to be in UTF-7', Buffer.from(text.replace('tools', '+AHQAbwBvAGwAcw-')), 'application/json; charset=UTF-7'],
    ['said to be in UTF-16', Buffer.from(text), 'application/json;charset="utf-16"'],
    ['with the list twice', Buffer.from(text.replace('{"tools"', '{"tools":[],"tools"'))],
    ['with the list in capitals', Buffer.from(text.replace('"tools"', '"TOOLS"'))],
    ['with the list in capitals beside another', Buffer.from(text.replace('{"tools"', '{"tools":[],"Tools"'))],
    ['with a letter that is an s to some', Buffer.from(text.replace('"tools"', '"tool\u017F"'))],
    ['with an escape in the key twice', Buffer.from(text.replace('{"tools"', String.raw`{"tools":[],"t\u006fols"`))],
    ['with two results', Buffer.from(text.replace('"result"', '"result":{},"result"'))],
    ['with a result in other letters', Buffer.from(text.replace('"result"', '"Result"'))],
    ['with a result whose s is another', Buffer.from(text.replace('"result"', '"re\u017Fult"'))],
    ['in a batch', Buffer.from(`[${text}]`)],
    ['that is a list of nothing', Buffer.from('{"jsonrpc":"2.0","id":1,"result":{"tools":{"0":{"name":"drop_a"}}}}')],
    ['that ends in the middle', Buffer.from(text.slice(0, -3))],
    ['in JSON with a comment', Buffer.from(text.replace('{', '{/* */'))],
    ['nested too deep to be read', Buffer.from(text.replace('[', `[${'['.repeat(200_000)}`))],
  ])('%s does not go out', async (_what, body, type = 'application/json') => {
    const respond = (): ProxyResponse => ({ status: 200, headers: new Fields({ 'content-type': type }), body });
    const bodies = new BodyBudget(10_000_000);
    const { send } = world({ policy: () => restricted, bodies, respond });
    const response = await send({ body: list });
    expect(await jsonOf(response)).toMatchObject({ id: 1, error: { code: 1011 } });
    // And none of them does on a stream that answers are resumed on.
    const events = Buffer.concat([Buffer.from('data: '), body, Buffer.from('\n\n')]);
    const onStream = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-type': type.replace('application/json', 'text/event-stream') }),
      body: chunksOf(new Response(events).body!),
    });
    const resumed = await world({ policy: () => restricted, bodies, respond: onStream }).send({ method: 'GET' });
    const seen = await bodyOf(resumed);
    if (resumed.status === 200) expect(seen.replaceAll('\0', '')).not.toContain('drop_a');
    else expect(seen).toContain('1011');
  });

  test('is none where another result holds what looks like one', async () => {
    const nested = { ...listed(), result: { structuredContent: { result: { tools } }, content: [] } };
    const { send } = world({ policy: () => restricted, respond: () => json(200, nested) });
    expect(await jsonOf(await send({ body: list }))).toEqual(nested);
  });
});

describe('a list as an event', () => {
  test('goes out without the tools that the policy hides; everything around it as it came', async () => {
    const before =
      ': hi\nid: 1\nretry: 5\ndata: \n\nevent: message\r\ndata: {"method":"notifications/progress"}\r\n\r\n';
    const changed = `event: message\nid: 2\ndata: ${JSON.stringify(listed()).replace(',', ',\ndata: ')}\n\n`;
    const respond = () => stream(before, changed, ': bye\n\n');
    const { send } = world({ policy: () => restricted, respond });
    const response = await send({ body: list });
    const text = await bodyOf(response);
    expect(text.startsWith(before)).toBe(true);
    expect(text.endsWith(': bye\n\n')).toBe(true);
    expect(text).toContain('event: message\nid: 2\ndata: ');
    expect(messagesOf(text.slice(before.length))).toEqual([listed(kept)]);
    expect(text).not.toContain('drop_a');
  });

  test('that cannot be judged is an error, and others go on', async () => {
    const respond = () =>
      stream('data: {"result":{"tools":[{"name":"drop_a"},]}}\n\n', 'data: {"id":1,"tools"\n\n', event(listed()));
    const { send } = world({ policy: () => restricted, respond });
    expect(messagesOf(await bodyOf(await send({ body: list })))).toMatchObject([
      { jsonrpc: '2.0', id: 1, error: { code: 1011 } },
      { jsonrpc: '2.0', id: 1, error: { code: 1011 } },
      listed(kept),
    ]);
  });

  test('of known length goes out with another', async () => {
    const text = event(listed());
    const respond = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-type': 'text/event-stream', 'content-length': String(text.length) }),
      body: Buffer.from(text),
    });
    const { send } = world({ policy: () => restricted, respond });
    const response = await send({ body: list });
    expect(response.headers.get('content-length')).toBe(String((await bodyOf(response)).length));
    expect(messagesOf(await bodyOf(response))).toEqual([listed(kept)]);
  });

  test('that is not complete when the stream ends is none', async () => {
    const { send } = world({ policy: () => restricted, respond: () => stream(event(listed()).slice(0, -1)) });
    expect(await bodyOf(await send({ body: list }))).not.toContain('drop_a');
  });

  test('is judged the same however it is cut', async () => {
    const text = `: c\r\n\r\nid: é\r\n${event(listed()).replaceAll('\n', '\r\n')}data: x\r\r${event(listed(kept))}`;
    const bytes = Buffer.from(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 }), async (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        const body = chunksOf(ReadableStream.from(chunks) as ReadableStream<Uint8Array>);
        const headers = new Fields({ 'content-type': 'text/event-stream' });
        const { send } = world({ policy: () => restricted, respond: () => ({ status: 200, headers, body }) });
        const sent = await bodyOf(await send({ body: list }));
        // Where CR and LF came apart, the LF is a blank line more.
        const out = sent.replace(/^:\n\n/, '').replace('\n\n\ndata: x', '\n\ndata: x');
        expect(out).toBe(
          `: c\r\n\r\nid: é\ndata: ${JSON.stringify(listed(kept))}\n\ndata: x\r\r${event(listed(kept))}`,
        );
      }),
      { numRuns: 200 },
    );
  });
});

describe('a GET stream', () => {
  /** A stream that a test writes to. */
  function open() {
    let write!: (text: string) => void;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (write = (text) => controller.enqueue(Buffer.from(text))),
    });
    const response: ProxyResponse = {
      status: 200,
      headers: new Fields({ 'content-type': 'text/event-stream' }),
      body: chunksOf(body),
    };
    return { respond: () => response, write };
  }

  async function next(response: ProxyResponse): Promise<string> {
    if (!isChunks(response.body)) throw new Error('expected a stream');
    for (;;) {
      const chunk = Buffer.from((await response.body.read())!).toString();
      if (!chunk.startsWith(':')) return chunk;
    }
  }

  test('shows no tool that the policy hides in an answer that is resumed on it', async () => {
    const { respond, write } = open();
    const { send } = world({ policy: () => restricted, respond });
    const response = await send({ method: 'GET', headers: { 'last-event-id': '7' } });
    write(event(listed(tools, 'any'), '8'));
    expect(await next(response)).toBe(event(listed(kept, 'any'), '8').replace(/^/, ''));
    write('id: 9\ndata: [{"result":{"tools":[{"name":"drop_a"}]}}]\n\n');
    expect(await next(response)).toBe('id: 9\n\n');
  });

  test('shows at each event what the policy of that moment shows', async () => {
    let current: PolicySnapshot = policy;
    const { respond, write } = open();
    const { send } = world({ policy: () => current, respond });
    const response = await send({ method: 'GET' });
    write(event(listed()));
    expect(await next(response)).toBe(event(listed()));
    current = restricted;
    write(event(listed()));
    expect(await next(response)).toBe(event(listed(kept)));
    current = { ...policy, tools: [{ allow: ['put'] }] };
    write(event(listed()));
    expect(await next(response)).toBe(event(listed([{ name: 'put' }])));
    current = policy;
    write(event(listed()));
    expect(await next(response)).toBe(event(listed()));
  });

  test.each(['id: 1\n', ':\n', 'data: x\n', ''])(
    'is judged from the next event on when a policy comes after %j',
    async (begun) => {
      let current: PolicySnapshot = policy;
      const { respond, write } = open();
      const { send } = world({ policy: () => current, respond });
      const response = await send({ method: 'GET' });
      const read = bodyOf({ ...response, body: untilClosed(response.body as Chunks) });
      write(`data: first\n\n${begun}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
      current = restricted;
      write(begun.startsWith(':') || begun === '' ? event(listed()) : `data: rest\n\n${event(listed())}`);
      write('data: closed\n\n');
      const text = await read;
      expect(text).toContain(`data: first\n\n${begun}`);
      expect(text).toContain(event(listed(kept)));
      expect(text).not.toContain('drop_a');
    },
  );

  test('with an event that is too long to be judged ends', async () => {
    let cancelled = false;
    let sent = 0;
    const body: Chunks = {
      read: async () => {
        sent += 1;
        return Buffer.alloc(1_000_000, sent === 1 ? 'data: x' : 'y');
      },
      cancel: () => (cancelled = true),
    };
    const headers = new Fields({ 'content-type': 'text/event-stream' });
    const { send } = world({
      policy: () => restricted,
      bodies: new BodyBudget(100_000_000),
      respond: () => ({ status: 200, headers, body }),
    });
    const response = await send({ method: 'GET' });
    await expect(bodyOf(response)).rejects.toThrow('longer than');
    expect(sent).toBeLessThan(listBytesMax / 1_000_000 + 2);
    expect(cancelled).toBe(true);
  });

  test('that is cancelled gives back what it held', async () => {
    const bodies = new BodyBudget(100);
    for (let time = 0; time < 5; time += 1) {
      const { respond, write } = open();
      const { send } = world({ policy: () => restricted, bodies, respond });
      const response = await send({ method: 'GET' });
      if (!isChunks(response.body)) throw new Error('expected a stream');
      write(`data: ok\n\n${'data: '.padEnd(80, 'x')}`);
      expect(await next(response)).toBe('data: ok\n\n');
      response.body.cancel();
    }
  });

  test('that is coded does not go out: a tool may be hidden while it is open', async () => {
    const headers = () => new Fields({ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    const respond = (): ProxyResponse => ({ status: 200, headers: headers(), body: silence() });
    const hidden = world({ policy: () => restricted, lease: missing, respond });
    expect((await hidden.send({ method: 'GET' })).status).toBe(502);
    expect((await world({ lease: missing, respond }).send({ method: 'GET' })).status).toBe(502);
  });
});

function text(body: string): ProxyResponse {
  return { status: 200, headers: new Fields({ 'content-type': 'application/json' }), body: Buffer.from(body) };
}

function endless(): Chunks {
  return { read: async () => Buffer.alloc(1_000_000, ' '), cancel: () => {} };
}

function untilClosed(source: Chunks): Chunks {
  let closed = false;
  return {
    async read() {
      if (closed) return undefined;
      const chunk = await source.read();
      closed = chunk !== undefined && Buffer.from(chunk).toString().includes('data: closed');
      return chunk;
    },
    cancel: () => source.cancel(),
  };
}
