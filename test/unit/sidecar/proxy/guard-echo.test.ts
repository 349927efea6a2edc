import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LeasedHeader, LeaseResponse } from '#contract/lease.ts';
import { EchoGuard } from '#sidecar/echo/echo-guard.ts';
import { guardChunks } from '#sidecar/echo/guard-chunks.ts';
import { type Chunks, chunksOf } from '#sidecar/proxy/chunks.ts';
import { isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import { bodyOf, chunksFrom, granted, json, jsonOf, missing, rpc, silence, streamFrom, world } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const key = 'ghp_A1b2C3d4E5f6G7h8';

function guardFor(...keys: readonly string[]): EchoGuard {
  return EchoGuard.of(keys.map((value, index) => ({ name: `X-${index}`, value })))!;
}

function guarded(source: Chunks, guard: EchoGuard): Chunks {
  return guardChunks(source, { guard: { current: guard }, onEcho: () => {} });
}

function maskText(text: string, ...keys: readonly string[]): string {
  return Buffer.from(guardFor(...keys).mask(Buffer.from(text), true).bytes).toString();
}

function stars(text: string): string {
  return '*'.repeat(Buffer.byteLength(text));
}

function hexOf(text: string): string {
  return Buffer.from(text).toString('hex');
}

function percentAll(text: string): string {
  return hexOf(text).replaceAll(/../g, '%$&');
}

function escapeAll(text: string): string {
  return hexOf(text).replaceAll(/../g, String.raw`\u00$&`);
}

/** What encoders make of a text. Each gives the pieces that must be gone. */
const encoders: Record<string, (text: string) => string> = {
  raw: (text) => text,
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  'JSON in JSON': (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3),
  'JSON in JSON in JSON': (text) => JSON.stringify(JSON.stringify(JSON.stringify(text))).slice(7, -7),
  'JSON with slashes escaped': (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replaceAll('/', String.raw`\/`),
  'JSON for HTML': (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replaceAll(/[<>&'+=]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`),
  'JSON with everything escaped': escapeAll,
  'JSON with everything escaped, in JSON': (text) => JSON.stringify(escapeAll(text)).slice(1, -1),
  'a URL component': encodeURIComponent,
  'a URL component, strictly': (text) =>
    encodeURIComponent(text).replaceAll(/[-_.!~*'()]/g, (char) => `%${char.charCodeAt(0).toString(16)}`),
  'a form': (text) => new URLSearchParams({ a: text }).toString().slice(2),
  'a URL component in a URL': (text) => encodeURIComponent(encodeURIComponent(text)),
  'percents only': percentAll,
  'percents in capitals': (text) => percentAll(text).toUpperCase(),
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'base64 in JSON': (text) =>
    Buffer.from(text)
      .toString('base64')
      .replaceAll('/', String.raw`\/`),
  'base64 in a URL': (text) => encodeURIComponent(Buffer.from(text).toString('base64')),
};

/** In base64 the first and the last character may hold bits of what stands beside the key. */
function isGone(masked: string, encoded: string, encoder: string): boolean {
  const core = encoder.startsWith('base64') ? encoded.replace(/(?:=|%3D)*$/, '').slice(0, -1) : encoded;
  return !masked.includes(core);
}

describe('a key is found', () => {
  test.each(Object.keys(encoders))('in %s', (name) => {
    for (const one of [key, 'sk-a/b+c="d"\\e&<f> g%41h', '!!!!!!!!{}[]', 'abcdefgh', "'quoted' and (long)~"]) {
      const encoded = encoders[name]!(one);
      const text = `before "${encoded}" after`;
      const masked = maskText(text, one);
      expect(isGone(masked, encoded, name), `${one}: ${masked}`).toBe(true);
      expect(masked).toHaveLength(text.length);
      expect(masked.startsWith('before "')).toBe(true);
      expect(masked.endsWith('" after')).toBe(true);
    }
  });

  test('whatever it is and wherever it stands, also between chunks, in bytes and characters of any size', async () => {
    const visible = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 8,
      maxLength: 60,
    });
    const echoes = fc.record({
      one: visible,
      encoder: fc.constantFrom(...Object.keys(encoders)),
      before: fc.string({ unit: 'binary' }),
      after: fc.string({ unit: fc.constantFrom('"', '\n', 'é', '\u{1f511}', '{') }),
      sizes: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }),
    });
    await fc.assert(
      fc.asyncProperty(echoes, async ({ one, encoder, before, after, sizes }) => {
        const encoded = encoders[encoder]!(one);
        const bytes = Buffer.from(`${before} ${encoded} ${after}`);
        const out = await collect(guarded(pieces(bytes, sizes), guardFor(one)));
        expect(isGone(out.toString(), encoded, encoder)).toBe(true);
        expect(out.byteLength).toBe(bytes.byteLength);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(['a', 'ab', 'abc', 'user:', 'Bearer ', 'Basic 0'])(
    'in base64 of a longer text, wherever it stands: after %j',
    (before) => {
      for (const encoding of ['base64', 'base64url'] as const) {
        const encoded = Buffer.from(`${before}${key} and more`).toString(encoding);
        const masked = maskText(JSON.stringify({ encoded }), key);
        const [, found = ''] = /"([^"]*)"}$/.exec(masked) ?? [];
        expect(Buffer.from(found.replaceAll('*', 'A'), encoding).toString('latin1')).not.toContain(key.slice(1, -1));
        expect(found.split('*').length).toBeGreaterThan(key.length);
      }
    },
  );

  test('when it is not all of the header', () => {
    const headers: readonly LeasedHeader[] = [
      { name: 'Authorization', value: `Bearer ${key}`, key: { start: 7, end: 7 + key.length } },
    ];
    const { bytes, echoes } = EchoGuard.of(headers)!.mask(Buffer.from(`curl -H "token ${key}"; Bearer x`), true);
    expect(Buffer.from(bytes).toString()).toBe(`curl -H "token ${stars(key)}"; Bearer x`);
    expect(echoes).toBe(1);
  });

  test('each time, and each of several', () => {
    const second = 'another-key-0815';
    expect(maskText(`${key}${key},${second} ${key}`, key, second)).toBe(
      `${stars(key + key)},${stars(second)} ${stars(key)}`,
    );
    expect(guardFor(key, second).mask(Buffer.from(`${key} ${second} ${key}`), true).echoes).toBe(3);
  });

  test('when one key begins another', () => {
    expect(maskText(`x ${key}-more-of-it y`, key, `${key}-more-of-it`)).not.toContain('more');
  });
});

describe('what is masked', () => {
  test('leaves JSON as JSON', () => {
    const unit = fc.constantFrom('a', 'n', 'u', '0', '"', '\\', '/', '%', ' ', '\n', 'é');
    const inKey = fc.constantFrom('a', 'n', 'u', '0', '"', '\\', '/', '%', ' ');
    const text = fc.string({ unit });
    fc.assert(
      fc.property(text, fc.string({ unit: inKey, minLength: 8, maxLength: 20 }), text, (before, one, after) => {
        const body = JSON.stringify({ a: before + one + after, b: JSON.stringify([one, before]) });
        const masked = maskText(body, one);
        expect(() => JSON.parse(masked) as unknown, masked).not.toThrow();
      }),
      { numRuns: 1_000 },
    );
  });

  test('is a number where it was one', () => {
    const masked = maskText('{"n":1234567890,"s":"1234567890","m":-0.12345678905e3}', '1234567890');
    expect(JSON.parse(masked)).toEqual({ n: 1_111_111_111, s: '1111111111', m: -0.111_111_111_15e3 });
  });

  test('is nothing else: a text without the key is the same bytes', () => {
    const bytes = Buffer.from(JSON.stringify({ text: `${key.slice(1)} ${key.toLowerCase()} ghp_A1b2 %41 \\u0041` }));
    expect(guardFor(key).mask(bytes, true)).toMatchObject({ bytes, echoes: 0 });
    expect(guardFor(key).mask(bytes, true).bytes).toBe(bytes);
  });

  test('is no key that is too short to be one', () => {
    expect(EchoGuard.of([{ name: 'X-Client-ID', value: '1234567' }])).toBeUndefined();
    expect(EchoGuard.of([])).toBeUndefined();
  });
});

describe('a stream', () => {
  test('keeps nothing back when an event is complete', async () => {
    const events = [`data: {"a":"ghp_A1"}\n\n`, 'data: x\r\n\r\n', ': comment\n\n'];
    const body = guarded(chunksFrom(...events), guardFor(key));
    for (const event of events) expect(Buffer.from((await body.read())!).toString()).toBe(event);
    expect(await body.read()).toBeUndefined();
  });

  test('keeps back only what may be the beginning of the key, until it is none', async () => {
    const body = guarded(chunksFrom('abc ghp_A1', 'x y', 'z gh'), guardFor(key));
    const texts: string[] = [];
    for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
      texts.push(Buffer.from(chunk).toString());
    }
    expect(texts).toEqual(['abc ', 'ghp_A1x y', 'z ', 'gh']);
  });

  test('of what looks like a key and goes on so for ever is not kept', async () => {
    const sizes: number[] = [];
    let sent = 0;
    const source: Chunks = {
      read: async () => {
        sent += 1;
        return sent > 400 ? undefined : Buffer.from(sent === 1 ? 'ghp_A1' : '%5c'.repeat(1_000));
      },
      cancel: () => {},
    };
    const body = guarded(source, guardFor(key));
    let out = 0;
    for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
      out += chunk.byteLength;
      sizes.push(6 + (sent - 1) * 3_000 - out);
    }
    expect(Math.max(...sizes)).toBeLessThan(10_000);
  });

  test('that breaks off breaks off for the client too', async () => {
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from('ghp_')),
      pull: (controller) => controller.error(new Error('reset')),
    });
    await expect(collect(guarded(chunksOf(broken), guardFor(key)))).rejects.toThrow('reset');
  });

  test('lets go of the upstream when it is cancelled', () => {
    let cancelled = false;
    guarded(
      silence(() => (cancelled = true)),
      guardFor(key),
    ).cancel();
    expect(cancelled).toBe(true);
  });

  test('costs no more for keys and texts that are made to cost', () => {
    const length = 200_000;
    for (const [one, text] of [
      ['a'.repeat(8_191) + 'b', 'a'.repeat(length)],
      ['ab'.repeat(4_000), 'ab'.repeat(length / 2)],
      ['!'.repeat(8_000), '!'.repeat(length)],
      ['\\'.repeat(4_000) + 'abcdefgh', '\\'.repeat(length)],
      ['%25'.repeat(2_000) + 'x', '%25'.repeat(length / 3)],
      ['abcdefgh', '%41'.repeat(length / 3)],
      ['abcdefgh', String.raw`\u00e9`.repeat(length / 6)],
    ] as const) {
      const before = process.cpuUsage();
      guardFor(one).mask(Buffer.from(text), true);
      // Processor time, as the machine may be busy; quadratic work would take minutes.
      expect(process.cpuUsage(before).user / 1_000, one.slice(0, 10)).toBeLessThan(2_000);
    }
  });
});

describe('a response', () => {
  const headers: readonly LeasedHeader[] = [
    { name: 'X-Api-Key', value: `token=${key}`, key: { start: 6, end: 6 + key.length } },
  ];
  const lease = { ...granted, headers };
  const lower = { name: 'X-Second', value: 'a1b2c3d4e5f6g7h8' };

  test('is without the key, as long as it was, and the echo is on record', async () => {
    const respond = () => json(200, { jsonrpc: '2.0', id: 1, result: { text: `env: KEY=${key}` } });
    const { send, events } = world({ lease, respond });
    const response = await send();
    expect(await jsonOf(response)).toMatchObject({ result: { text: `env: KEY=${stars(key)}` } });
    expect(events).toMatchObject([{ decision: 'forwarded', echoes: 1 }]);
  });

  test('that has no key in it goes on as the same bytes, and nothing of it is on record', async () => {
    const answer = json(200, { jsonrpc: '2.0', id: 1, result: {} });
    const { send, events } = world({ lease, respond: () => answer });
    expect((await send()).body).toBe(answer.body);
    expect(events[0]).not.toHaveProperty('echoes');
  });

  test.each([200, 403, 404, 500])('of status %i has no key in body and headers', async (status) => {
    const respond = (): ProxyResponse => ({
      status,
      headers: new Fields([
        ['x-debug', `got ${key}`],
        ['x-other', 'kept'],
        ['location', `https://example.com/?k=${percentAll(key)}`],
        ['x-a1b2c3d4e5f6g7h8', '1'],
        ['set-cookie', 'a=1'],
        ['set-cookie', `k=${key}; Path=/`],
      ]),
      body: Buffer.from(`Unknown key ${key}`),
    });
    const { send, events } = world({ lease: { ...lease, headers: [...headers, lower] }, respond });
    const response = await send({ body: rpc('tools/list') });
    expect(JSON.stringify([...response.headers])).not.toMatch(/A1b2C3d4|%41/i);
    expect(response.headers.get('x-other')).toBe('kept');
    expect(response.headers.getSetCookie()).toEqual(['a=1', `k=${stars(key)}; Path=/`]);
    expect(await bodyOf(response)).not.toContain(key);
    expect(events[0]!.echoes).toBeGreaterThanOrEqual(4);
  });

  test('stream is guarded too', async () => {
    const respond = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-type': 'text/event-stream' }),
      body: chunksFrom(`data: {"t":"${key.slice(0, 9)}`, `${key.slice(9)}"}\n\n`),
    });
    const { send, events } = world({ lease, respond });
    expect(await bodyOf(await send({ method: 'GET' }))).toContain(`data: {"t":"${stars(key)}"}\n\n`);
    expect(events.at(-1)).toMatchObject({ echoes: 1 });
  });

  test('is asked for without coding, and refused with one', async () => {
    let cancelled = false;
    const respond = (): ProxyResponse => ({
      status: 200,
      headers: new Fields({ 'content-encoding': 'gzip' }),
      body: silence(() => (cancelled = true)),
    });
    const { send, forwarded, events } = world({ lease, respond });
    const response = await send({ headers: { 'accept-encoding': 'gzip, br' } });
    expect(forwarded[0]!.headers.get('accept-encoding')).toBe('identity');
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toMatchObject({ id: 1, error: { code: 1012 } });
    expect(events).toMatchObject([{ decision: 'upstreamUnavailable' }]);
    expect(cancelled).toBe(true);
  });

  test('to somebody without a key is not touched', async () => {
    const body = streamFrom('anything');
    const { send } = world({
      lease: missing,
      respond: () => ({ status: 200, headers: new Fields({ 'content-encoding': 'gzip' }), body: chunksOf(body) }),
    });
    const response = await send({ body: rpc('tools/list') });
    expect(isChunks(response.body)).toBe(true);
    expect(await bodyOf(response)).toBe('anything');
  });
});

describe('a stream that a user keeps open', () => {
  const leaseOf = (value: string) => ({ ...granted, headers: [{ name: 'X-Api-Key', value }] });
  const second = 'second-key-of-alice';

  /** A stream that a test writes to, beside answers that come at once. */
  function open(first: LeaseResponse) {
    let lease = first;
    let write!: (text: string) => void;
    const headers = new Fields({ 'content-type': 'text/event-stream' });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (write = (text) => controller.enqueue(Buffer.from(text))),
    });
    const respond = ({ method }: { readonly method: string }): ProxyResponse =>
      method === 'GET'
        ? { status: 200, headers, body: chunksOf(body) }
        : json(200, { jsonrpc: '2.0', id: 1, result: {} });
    const { send, events } = world({ lease: async () => lease, respond });
    return { send, events, write, setLease: (next: LeaseResponse) => (lease = next) };
  }

  async function next(response: ProxyResponse): Promise<string> {
    if (!isChunks(response.body)) throw new Error('expected a stream');
    for (;;) {
      const chunk = Buffer.from((await response.body.read())!).toString();
      if (!chunk.startsWith(':')) return chunk;
    }
  }

  test.each<[string, LeaseResponse]>([
    ['another key', leaseOf(key)],
    ['no key', missing],
  ])('with %s does not show the key that a later request has', async (_what, first) => {
    const { send, events, write, setLease } = open(first);
    const response = await send({ method: 'GET' });
    write(`data: ${second} ${key}\n\n`);
    expect(await next(response)).toContain(second);
    setLease(leaseOf(second));
    await send();
    write(`data: ${second}\n\n`);
    expect(await next(response)).toBe(`data: ${stars(second)}\n\n`);
    write(`data: ${key}\n\n`);
    expect(await next(response)).toBe(`data: ${first === missing ? key : stars(key)}\n\n`);
    if (isChunks(response.body)) response.body.cancel();
    expect(events.at(-1)).toMatchObject({ phase: 'close', echoes: first === missing ? 1 : 3 });
  });

  test('of a compressed kind is refused, as a key may come yet', async () => {
    const headers = new Fields({ 'content-type': 'text/event-stream', 'content-encoding': 'br' });
    const { send } = world({ lease: missing, respond: () => ({ status: 200, headers, body: chunksFrom('coded') }) });
    const response = await send({ method: 'GET' });
    expect(response.status).toBe(502);
    expect(await bodyOf(response)).not.toContain('coded');
  });
});

describe('another key of the same user', () => {
  const leaseOf = (value: string) => ({ ...granted, headers: [{ name: 'X-Api-Key', value }] });
  const second = 'second-key-of-alice';
  const both = { jsonrpc: '2.0', id: 1, result: { text: `${key} ${second}` } };

  test.each<[string, LeaseResponse, string]>([
    ['a request with the next key', leaseOf(second), 'tools/call'],
    ['a request without a key', missing, 'tools/list'],
  ])('that was replaced is not shown to %s', async (_what, later, method) => {
    let lease: LeaseResponse = leaseOf(key);
    const { send } = world({ lease: async () => lease, respond: () => json(200, both) });
    await send();
    lease = later;
    const shown = await bodyOf(await send({ body: rpc(method, { name: 'x' }) }));
    expect(shown).not.toContain(key);
    expect(shown.includes(second)).toBe(later === missing);
  });

  test('that was refused is not shown where the request goes on without one', async () => {
    const { send, forwarded } = world({
      lease: leaseOf(key),
      respond: ({ headers }) => (headers.has('x-api-key') ? json(401, {}) : json(200, both)),
    });
    expect(await bodyOf(await send({ body: rpc('tools/list') }))).toBe(JSON.stringify(both).replace(key, stars(key)));
    expect(forwarded).toHaveLength(2);
  });

  test('that is set while an answer streams is not shown in it', async () => {
    let lease: LeaseResponse = leaseOf(key);
    let write!: (text: string) => void;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => void (write = (text) => controller.enqueue(Buffer.from(text))),
    });
    const headers = new Fields({ 'content-type': 'application/json' });
    let calls = 0;
    const respond = (): ProxyResponse =>
      (calls += 1) === 1 ? { status: 200, headers, body: chunksOf(body) } : json(200, both);
    const { send } = world({ lease: async () => lease, respond });
    const answer = await send();
    lease = leaseOf(second);
    await send();
    write(`"${second} ${key}"\n`);
    if (!isChunks(answer.body)) throw new Error('expected a stream');
    expect(Buffer.from((await answer.body.read())!).toString()).toBe(`"${stars(second)} ${stars(key)}"\n`);
    answer.body.cancel();
  });

  test('is another matter to another user', async () => {
    let lease: LeaseResponse = leaseOf(key);
    const { send } = world({ lease: async () => lease, respond: () => json(200, both) });
    await send();
    lease = { ...leaseOf('key-of-robert'), subject: { ...granted.subject, id: 'u-2' } };
    expect(await bodyOf(await send())).toContain(key);
  });
});

function pieces(bytes: Uint8Array, sizes: readonly number[]): Chunks {
  let at = 0;
  let turn = 0;
  return {
    async read() {
      if (at >= bytes.byteLength) return undefined;
      const size = sizes[turn % sizes.length] ?? 1;
      turn += 1;
      at += size;
      return bytes.subarray(at - size, at);
    },
    cancel: () => {},
  };
}

async function collect(chunks: Chunks): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for (let chunk = await chunks.read(); chunk !== undefined; chunk = await chunks.read()) all.push(chunk);
  return Buffer.concat(all);
}
