import { describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { sessionBounds } from '#sidecar/proxy/sessions.ts';
import { alice, granted, json, jsonOf, missing, rpc, world, type WorldOptions } from './world.ts';

describe('a session', () => {
  const begin = (id: string) => () => json(200, {}, { 'mcp-session-id': id });
  const bob = { ...granted, subject: { ...alice, id: 'u-2' } };

  function setUp(respond: NonNullable<WorldOptions['respond']> = begin('s-1')) {
    const who = { lease: granted as LeaseResponse };
    return { who, ...world({ lease: async () => who.lease, respond, places: Infinity }) };
  }

  test('belongs to the user who began it; to another it does not exist', async () => {
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

  test.each(['s-1, s-2', 's 1', 'é'])('has no id like %j', async (id) => {
    const { send, forwarded } = setUp();
    expect((await send({ headers: { 'mcp-session-id': id } })).status).toBe(404);
    expect(forwarded).toHaveLength(0);
  });
});
