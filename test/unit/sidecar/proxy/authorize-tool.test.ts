import { describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { granted, json, jsonOf, missing, policy, rpc, toolCall, world } from './world.ts';

const restricted: PolicySnapshot = { ...policy, tools: [{ deny: ['drop_*'] }, { allow: ['search', 'drop_it'] }] };

function call(name: unknown): string {
  return rpc('tools/call', { name, arguments: {} }, 'call-1');
}

describe('a tool call', () => {
  test('is judged by what holds for its user beside what holds for all', async () => {
    const lease: LeaseResponse = { ...granted, userRules: { tools: [{ deny: ['search'] }] } };
    const { send, forwarded } = world({ policy: () => ({ ...policy, tools: [{ deny: ['drop_*'] }] }), lease });
    for (const name of ['search', 'drop_it'])
      expect(await jsonOf(await send({ body: call(name) }))).toMatchObject({ error: { code: 1010 } });
    expect(forwarded).toHaveLength(0);
    await send({ body: call('other') });
    const alone = world({ lease });
    expect(await jsonOf(await alone.send({ body: call('search') }))).toMatchObject({ error: { code: 1010 } });
    const list = { result: { tools: [{ name: 'search' }, { name: 'other' }] }, jsonrpc: '2.0', id: 'l' };
    const listing = world({ lease, respond: () => json(200, list) });
    expect(await jsonOf(await listing.send({ body: rpc('tools/list', {}, 'l') }))).toMatchObject({
      result: { tools: [{ name: 'other' }] },
    });
    expect(forwarded).toHaveLength(1);
  });

  test('that the policy allows goes on', async () => {
    const { send, forwarded, events } = world({ policy: () => restricted });
    expect((await send()).status).toBe(200);
    expect(forwarded).toHaveLength(1);
    expect(events).toMatchObject([{ decision: 'forwarded', tool: 'search' }]);
  });

  test.each(['drop_it', 'other', 'Search', 'search '])(
    'that the policy does not allow is answered, not sent: %j',
    async (name) => {
      const { send, forwarded, events } = world({ policy: () => restricted });
      const response = await send({ body: call(name) });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(await jsonOf(response)).toEqual({
        jsonrpc: '2.0',
        id: 'call-1',
        error: { code: 1010, message: `The policy of this server does not allow the tool ${JSON.stringify(name)}.` },
      });
      expect(forwarded).toHaveLength(0);
      expect(events).toMatchObject([{ decision: 'toolDenied', tool: name, httpStatus: 200, subject: { id: 'u-1' } }]);
    },
  );

  test.each([undefined, 7, null, ['search'], { search: 1 }])('that names no tool is none: %j', async (name) => {
    const { send, forwarded } = world({ policy: () => restricted });
    expect(await jsonOf(await send({ body: call(name) }))).toMatchObject({ id: 'call-1', error: { code: 1010 } });
    expect(forwarded).toHaveLength(0);
  });

  test('whose header names another tool than the body is judged by the body', async () => {
    const { send, forwarded } = world({ policy: () => restricted });
    const headers = { 'mcp-method': 'tools/call', 'mcp-name': 'search' };
    expect(await jsonOf(await send({ body: call('drop_it'), headers }))).toMatchObject({ error: { code: 1010 } });
    const asList = { 'mcp-method': 'tools/list' };
    expect(await jsonOf(await send({ body: call('drop_it'), headers: asList }))).toMatchObject({
      error: { code: 1010 },
    });
    expect(forwarded).toHaveLength(0);
  });

  test('that hides its name behind another spelling is judged by what it says', async () => {
    const { send, forwarded } = world({ policy: () => restricted });
    const body = String.raw`{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"n\u0061me":"drop\u005fit"}}`;
    expect(await jsonOf(await send({ body }))).toMatchObject({ error: { code: 1010 } });
    expect(forwarded).toHaveLength(0);
  });

  test('with two names is refused', async () => {
    const { send, forwarded } = world({ policy: () => restricted });
    const body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"drop_it","name":"search"}}';
    expect((await send({ body })).status).toBe(400);
    expect(forwarded).toHaveLength(0);
  });

  test('without an id is no call', async () => {
    const { send, forwarded } = world({ policy: () => restricted });
    const body = JSON.stringify({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'search' } });
    expect((await send({ body })).status).toBe(400);
    expect(forwarded).toHaveLength(0);
  });

  test('of a user without a key is refused for its tool first', async () => {
    const { send, events } = world({ policy: () => restricted, lease: missing });
    expect(await jsonOf(await send({ body: call('drop_it') }))).toMatchObject({ error: { code: 1010 } });
    expect(events).toMatchObject([{ decision: 'toolDenied' }]);
  });

  test('says nothing of a long name but its beginning', async () => {
    const { send } = world({ policy: () => restricted });
    const { error } = (await jsonOf(await send({ body: call('x'.repeat(600)) }))) as { error: { message: string } };
    expect(error.message.length).toBeLessThan(200);
  });
});

describe('the policy', () => {
  test('leaves everything but tool calls alone', async () => {
    const { send, forwarded } = world({
      policy: () => restricted,
      respond: () => json(200, { jsonrpc: '2.0', id: 1 }),
    });
    await send({ body: rpc('prompts/get', { name: 'drop_it' }) });
    await send({ body: rpc('ping') });
    await send({ method: 'DELETE' });
    expect(forwarded).toHaveLength(3);
  });

  test('that comes is in force for the next call', async () => {
    let current: PolicySnapshot = policy;
    const { send, events } = world({ policy: () => current });
    await send();
    current = { ...policy, tools: [{ deny: ['search'] }] };
    await send();
    current = { ...policy, tools: [{ deny: ['other'] }] };
    await send();
    expect(events.map(({ decision }) => decision)).toEqual(['forwarded', 'toolDenied', 'forwarded']);
  });

  test('that is not known yet lets nobody call anything', async () => {
    const { send, forwarded } = world({ policy: () => undefined });
    expect(await jsonOf(await send({ body: toolCall }))).toMatchObject({ error: { code: 1010 } });
    expect(forwarded).toHaveLength(0);
  });
});
