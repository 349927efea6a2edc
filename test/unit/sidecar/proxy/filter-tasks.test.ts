import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import type { LeaseResponse } from '#contract/lease.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { chunksOf } from '#sidecar/proxy/chunks.ts';
import { isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import { verifies } from '#test/requirements.ts';
import { bodyOf, bounds, granted, json, jsonOf, rpc, stream, toolCall, world, type WorldOptions } from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const bob: LeaseResponse = { ...granted, subject: { issuer: 'https://issuer.example', id: 'u-2', name: 'bob' } };

/** Alice has begun `t-a`, Bob `t-b`; nobody knows whose `t-x` is. */
async function setUp(respond: NonNullable<WorldOptions['respond']>) {
  const who: { lease: LeaseResponse } = { lease: granted };
  let answer: NonNullable<WorldOptions['respond']> = () => begun('t-a');
  const all = world({
    lease: async () => who.lease,
    respond: (request) => answer(request),
    bodies: new BodyBudget(20_000_000),
    bounds: () => ({ ...bounds, bodyBytesMax: 100_000 }),
  });
  await all.send();
  who.lease = bob;
  answer = () => begun('t-b');
  await all.send();
  who.lease = granted;
  answer = respond;
  return { who, ...all };
}

function begun(taskId: string): ProxyResponse {
  return json(200, { jsonrpc: '2.0', id: 1, result: { task: { taskId, status: 'working' } } });
}

const tasks = ['t-a', 't-b', 't-x'].map((taskId) => ({ taskId, status: 'working', ttl: 1e3 }));
const listed = { jsonrpc: '2.0', id: 1, result: { tasks, nextCursor: 'page-2' } };
const own = { ...listed, result: { ...listed.result, tasks: tasks.slice(0, 1) } };
const list = rpc('tasks/list');

function event(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function notice(taskId: unknown, method = 'notifications/tasks/status'): string {
  return event({ jsonrpc: '2.0', method, params: { taskId, status: 'completed' } });
}

function events(...parts: readonly string[]): ProxyResponse {
  return stream(...parts);
}

describe('a list of tasks', () => {
  test(verifies('mcp:08-task-lists'), async () => {
    const { send, who } = await setUp(() => json(200, listed, { etag: '"1"' }));
    const response = await send({ body: list });
    const text = await bodyOf(response);
    expect(JSON.parse(text)).toEqual(own);
    expect(response.headers.get('content-length')).toBe(String(text.length));
    expect(response.headers.get('etag')).toBeNull();
    who.lease = bob;
    expect(await jsonOf(await send({ body: list }))).toMatchObject({ result: { tasks: [{ taskId: 't-b' }] } });
  });

  test('as an event, and one that is resumed, has the own ones only', async () => {
    for (const request of [{ body: list }, { method: 'GET' }]) {
      const whole = event(listed);
      const { send } = await setUp(() => events(': x\n', whole.slice(0, 40), whole.slice(40), event({ a: 1 })));
      expect(await bodyOf(await send(request))).toBe(`: x\n${event(own)}${event({ a: 1 })}`);
    }
  });

  test.each([
    ['twice', JSON.stringify(listed).replace('"tasks"', '"tasks":[],"tasks"')],
    ['in other letters', JSON.stringify(listed).replace('"tasks"', '"Tasks"')],
    ['with letters that fold', JSON.stringify(listed).replace('"tasks"', '"tas\u212As"')],
    ['in UTF-16', Buffer.from(JSON.stringify(listed), 'utf16le').toString('latin1')],
    ['in a batch', JSON.stringify([listed])],
    ['as no list', JSON.stringify({ ...listed, result: { tasks: { 0: tasks[1] } } })],
  ])('%s does not go out', async (_what, text) => {
    const body = Buffer.from(text, text.includes('\0') ? 'latin1' : 'utf8');
    const headers = new Fields({ 'content-type': 'application/json' });
    const { send } = await setUp(() => ({ status: 200, headers, body }));
    expect(await jsonOf(await send({ body: list }))).toMatchObject({ id: 1, error: { code: 1011 } });
    const onStream = await setUp(() => ({
      status: 200,
      headers: new Fields({ 'content-type': 'text/event-stream' }),
      body: chunksOf(new Response(Buffer.concat([Buffer.from('data: '), body, Buffer.from('\n\n')])).body!),
    }));
    expect((await bodyOf(await onStream.send({ method: 'GET' }))).replaceAll('\0', '')).not.toContain('t-b');
  });

  test('goes on as it is where all tasks are the own', async () => {
    const answer = json(200, own);
    const { send } = await setUp(() => answer);
    expect((await send({ body: list })).body).toEqual(answer.body);
  });
});

describe('a notification about a task', () => {
  test(verifies('mcp:08-task-notifications'), async () => {
    const sent = [
      notice('t-a'),
      notice('t-b'),
      notice('t-b', 'notifications/tasks'),
      notice('t-b').replace('notifications/tasks', String.raw`notifications\/tasks`),
      notice('t-b').replace('"method":', '"method":"ping","method":'),
      notice('t-b').replace('"taskId":', '"taskId":"t-a","taskId":'),
      notice(5),
      notice('t-x'),
      event({ jsonrpc: '2.0', method: 'notifications/message', params: { data: 'tasks of t-b' } }),
      notice('t-a', 'notifications/tasks'),
    ];
    const { send } = await setUp(() => events(sent.join('')));
    const shown = (await bodyOf(await send({ method: 'GET' }))).split('\n\n').filter((text) => text !== '');
    expect(shown.map((text) => `${text.trim()}\n\n`)).toEqual([sent[0], sent[8], sent[9]]);
  });

  test('is cut anywhere and is still not seen by others', async () => {
    const text = `id: 7\n${notice('t-b')}${notice('t-a')}`;
    for (let at = 1; at < text.length; at += 1) {
      const { send } = await setUp(() => events(text.slice(0, at), text.slice(at)));
      const shown = await bodyOf(await send({ method: 'GET' }));
      expect(shown).not.toContain('t-b');
      expect(shown.replace(/^:\n\n/, '')).toBe(`id: 7\n\n${notice('t-a')}`);
    }
  });

  test('may be about a task of which the stream is to tell, but not about that of another', async () => {
    const { send } = await setUp(() => events(notice('t-x'), notice('t-b')));
    const shown = await bodyOf(await send({ body: toolCall }));
    expect(shown).toContain('t-x');
    expect(shown).not.toContain('t-b');
  });

  test.each([
    ['task', { taskIds: ['t-a', 't-b'] }, 'Task not found'],
    ['key in other letters', { TaskIds: ['t-b'] }, 'cannot be read'],
    ['id that is no text', { taskIds: [5] }, 'cannot be read'],
    [
      'number of ids without end',
      { taskIds: Array.from({ length: 1_025 }, (_, index) => `t-${index}`) },
      'cannot be read',
    ],
  ])("cannot be asked for with another's or a false %s", async (_what, notifications, message) => {
    const { send, forwarded } = await setUp(() => events(notice('t-b')));
    const before = forwarded.length;
    const response = await send({ body: rpc('subscriptions/listen', { notifications }) });
    expect(await bodyOf(response)).toContain(message);
    expect(forwarded).toHaveLength(before);
  });

  test('can be asked for by whose task it is', async () => {
    const { send } = await setUp(() => events(notice('t-a'), notice('t-b')));
    const shown = await bodyOf(
      await send({ body: rpc('subscriptions/listen', { notifications: { taskIds: ['t-a'] } }) }),
    );
    expect(shown).toContain('t-a');
    expect(shown).not.toContain('t-b');
  });
});

test.each(['POST', 'GET'])('a large answer in a stream goes on piece by piece (%s)', async (sent) => {
  const piece = 'x'.repeat(10_000);
  const pieces = [
    `event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"content":"${piece}`,
    piece,
    `${piece}"}}\n\n`,
  ];
  let write!: (text: string) => void;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void (write = (text) => controller.enqueue(Buffer.from(text))),
  });
  const headers = new Fields({ 'content-type': 'text/event-stream' });
  const { send } = await setUp(() => ({ status: 200, headers, body: chunksOf(body) }));
  const response = await send({ method: sent });
  if (!isChunks(response.body)) throw new Error('expected a stream');
  for (const one of pieces) {
    write(one);
    expect(Buffer.from((await response.body.read())!).toString()).toBe(one);
  }
  response.body.cancel();
});

test('a task id that is no text is refused', async () => {
  const { send } = await setUp(() => events());
  const response = await send({ body: rpc('tasks/get', { taskId: 5 }) });
  expect(response.status).toBe(400);
});
