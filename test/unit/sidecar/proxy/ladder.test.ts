/** What a client is told when its user's key is missing or refused, and what becomes of the call. */
import { randomBytes } from 'node:crypto';

import { describe, expect, test, vi } from 'vitest';

import { askParameter, verifyKeyLink } from '#contract/key-link.ts';
import type { LeaseResponse } from '#contract/lease.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { type LadderLimits, ladderLimits } from '#sidecar/ladder/limits.ts';
import { HoldingPlaces } from '#sidecar/ladder/places.ts';
import { RequestStateSealer } from '#sidecar/ladder/request-state.ts';
import { LeaseCache } from '#sidecar/leases/lease-cache.ts';
import { BodyBudget } from '#sidecar/proxy/body-budget.ts';
import { isChunks, type ProxyResponse } from '#sidecar/proxy/exchange.ts';
import type { Outcomes } from '#sidecar/proxy/layers/observe.ts';
import { Belongings, Ownership } from '#sidecar/proxy/ownership.ts';
import { newRecord } from '#sidecar/proxy/record.ts';
import type { Bounds } from '#sidecar/proxy/bounds-in-force.ts';
import { verifies } from '../../../requirements.ts';
import {
  alice,
  bodyOf,
  bounds,
  chunksFrom,
  granted,
  json,
  jsonOf,
  missing,
  pace,
  policy as plainPolicy,
  rpc,
  server,
  silence,
  stream,
  world,
  type WorldOptions,
} from './world.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const stateKey = randomBytes(32).toString('base64url');
const pageUrl = 'https://keys.example/team-a/notes';
const policy: PolicySnapshot = { ...plainPolicy, keyPage: { url: pageUrl, stateKey, assumedClients: ['old-ide'] } };
const { marker } = new RequestStateSealer(stateKey, server);

const urls = { elicitation: { form: {}, url: {} } };
const version = 'io.modelcontextprotocol/protocolVersion';
const capabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';
const clientInfoKey = 'io.modelcontextprotocol/clientInfo';

interface Call {
  readonly method?: string;
  readonly params?: object;
  readonly capabilities?: object;
  readonly id?: string;
  readonly accept?: string;
  readonly client?: string;
}

/** A request of revision 2026-07-28. */
function modern(call: Call = {}) {
  const { method = 'tools/call', params = { name: 'search', arguments: { q: 1 } }, id = 'm-1' } = call;
  const meta = {
    [version]: '2026-07-28',
    [capabilitiesKey]: call.capabilities ?? urls,
    ...(call.client === undefined ? {} : { [clientInfoKey]: { name: call.client, version: '1' } }),
  };
  const { name, uri } = params as { name?: string; uri?: string };
  const target = name ?? uri;
  return {
    body: rpc(method, { ...params, _meta: meta }, id),
    headers: {
      accept: call.accept ?? 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(target === undefined ? {} : { 'mcp-name': target }),
    },
  };
}

interface InputRequired {
  readonly id: string;
  readonly result: {
    readonly resultType: string;
    readonly inputRequests: Record<string, { method: string; params: { mode: string; url: string; message: string } }>;
    readonly requestState: string;
  };
}

/** The retry of a client that follows the protocol. */
function retryOf(asked: InputRequired, call: Call = {}, action = 'accept') {
  const { params = { name: 'search', arguments: { q: 1 } } } = call;
  const [key = ''] = Object.keys(asked.result.inputRequests);
  const { requestState } = asked.result;
  return modern({ id: 'm-2', ...call, params: { ...params, inputResponses: { [key]: { action } }, requestState } });
}

interface SetUp extends WorldOptions {
  readonly ladder?: Partial<LadderLimits>;
}

/** The lease source is the real cache; what the broker says is in `broker.lease`. */
function setUp(options: SetUp = {}) {
  const broker: { lease: LeaseResponse; asked: number } = { lease: missing, asked: 0 };
  const leases = new LeaseCache({
    fetchLease: async () => {
      broker.asked += 1;
      return broker.lease;
    },
    isWatching: () => true,
    nowMs: () => performance.now(),
  });
  const limits = { ...ladderLimits, holdMsMax: 80, silentHoldMsMax: 40, ...options.ladder };
  const held = new HoldingPlaces(limits);
  const made = world({ policy: () => policy, leases, held, ...options });
  const setKey = (keyVersion = 3): void => {
    broker.lease = { ...granted, keyVersion, headers: [{ name: 'X-Api-Key', value: `key-${keyVersion}` }] };
    leases.invalidate('abc');
  };
  const ask = async (call: Call = {}): Promise<InputRequired> =>
    (await jsonOf(await made.send(modern(call)))) as InputRequired;
  const forwardedBody = (at = -1): unknown => JSON.parse(new TextDecoder().decode(made.forwarded.at(at)!.body));
  return { ...made, broker, leases, held, setKey, ask, forwardedBody };
}

/** The one message of an event stream, without the comments around it. */
async function eventOf(response: ProxyResponse): Promise<unknown> {
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const text = await bodyOf(response);
  const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
  return JSON.parse(data.join('\n'));
}

function rejecting(): ProxyResponse {
  return json(401, { error: 'invalid_token' }, { 'www-authenticate': 'Bearer resource_metadata="https://up.example"' });
}

describe(verifies('mcp:10-missing-key'), () => {
  test.each([
    ['tools/call', { name: 'search' }],
    ['prompts/get', { name: 'p' }],
    ['resources/read', { uri: 'file:///a' }],
  ])('a modern client that opens URLs is asked to: %s', async (method, params) => {
    const { send, forwarded, events } = setUp();
    const response = await send(modern({ method, params }));
    expect(response.status).toBe(200);
    const body = (await jsonOf(response)) as InputRequired;
    expect(body).toEqual({
      jsonrpc: '2.0',
      id: 'm-1',
      result: {
        resultType: 'input_required',
        inputRequests: {
          [marker]: {
            method: 'elicitation/create',
            params: {
              mode: 'url',
              url: expect.stringMatching(/^https:\/\/keys\.example\/team-a\/notes\?ask=/) as string,
              message: expect.stringContaining('Notes needs your own key') as string,
            },
          },
        },
        requestState: expect.stringMatching(/^mk1\./) as string,
      },
    });
    expect(forwarded).toHaveLength(0);
    expect(events).toMatchObject([{ decision: 'keyMissing', httpStatus: 200 }]);
  });

  test.each([
    ['tasks/get', { taskId: 't' }, urls],
    ['tools/call', { name: 'search' }, { elicitation: {} }],
    ['tools/call', { name: 'search' }, {}],
    ['prompts/get', { name: 'p' }, { elicitation: { form: {} } }],
  ])(
    'a modern client is never asked in a form that it does not know: %s %j %j',
    async (method, params, capabilities) => {
      const belongings = new Belongings();
      const record = newRecord('POST', { startedMs: 0, at: new Date() });
      new Ownership(belongings, server).beginTask({ ...record, subject: alice }, 't');
      const { send, events } = setUp({ belongings });
      const request = modern({ method, params, capabilities });
      const name = method === 'tasks/get' ? { 'mcp-name': 't' } : {};
      const body = (await jsonOf(await send({ ...request, headers: { ...request.headers, ...name } }))) as {
        result?: { isError: boolean; resultType: string; content: { text: string }[] };
        error?: { code: number; message: string; data: { url: string } };
      };
      if (method === 'tools/call') {
        expect(body.result).toMatchObject({ isError: true, resultType: 'complete' });
        expect(body.result!.content[0]!.text).toContain(`Set it here: ${pageUrl}`);
        expect(events).toMatchObject([{ isError: true }]);
      } else {
        expect(body.error).toMatchObject({ code: 1001, data: { reason: 'missing', url: pageUrl } });
        expect(body.error!.message).toContain(pageUrl);
        expect(events).toMatchObject([{ rpcStatus: 1001 }]);
      }
    },
  );

  async function legacy(capabilities: object, clientInfo: object = { name: 'client', version: '1' }) {
    const made = setUp({ respond: () => json(200, {}, { 'mcp-session-id': 's-1' }) });
    await made.send({ body: rpc('initialize', { capabilities, clientInfo }) });
    const request = (method: string, params: object, headers = { 'mcp-session-id': 's-1' }) =>
      made.send({ body: rpc(method, params, 'l-1'), headers });
    return { ...made, request };
  }

  test('a legacy client that opens URLs gets -32042 for its session, in HTTP 200', async () => {
    const { request } = await legacy(urls);
    for (const [method, params] of [
      ['tools/call', { name: 'search' }],
      ['prompts/get', { name: 'p' }],
      ['resources/subscribe', { uri: 'file:///a' }],
    ] as const) {
      const response = await request(method, params);
      expect(response.status).toBe(200);
      expect(await jsonOf(response)).toEqual({
        jsonrpc: '2.0',
        id: 'l-1',
        error: {
          code: -32_042,
          message: expect.stringContaining('Notes needs your own key') as string,
          data: {
            elicitations: [
              {
                mode: 'url',
                elicitationId: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/) as string,
                url: expect.stringMatching(/^https:\/\/keys\.example\/team-a\/notes\?ask=/) as string,
                message: expect.stringContaining('Notes needs your own key') as string,
              },
            ],
          },
        },
      });
    }
  });

  test('a legacy client that does not, or whose session is not known, gets words with the whole URL', async () => {
    const { request } = await legacy({ elicitation: {} });
    const told = (await jsonOf(await request('tools/call', { name: 'search' }))) as {
      result: { isError: boolean; content: { text: string }[] };
    };
    expect(told.result.isError).toBe(true);
    expect(told.result).not.toHaveProperty('resultType');
    expect(told.result.content[0]!.text).toContain(`Set it here: ${pageUrl}`);
    const other = await legacy(urls);
    for (const headers of [{}, { 'mcp-session-id': 'unknown' }]) {
      const response = await other.request('tools/call', { name: 'search' }, headers as { 'mcp-session-id': string });
      expect(await jsonOf(response)).toMatchObject({ result: { isError: true } });
    }
  });

  test('a client that opens URLs without saying so is asked where it is listed', async () => {
    expect(await setUp().ask({ capabilities: { elicitation: {} }, client: 'old-ide' })).toMatchObject({
      result: { resultType: 'input_required' },
    });
    const { request } = await legacy({ elicitation: {} }, { name: 'old-ide', version: '1' });
    expect(await jsonOf(await request('tools/call', { name: 'a' }))).toMatchObject({ error: { code: -32_042 } });
  });

  test('without a page, or with one that does not help, everybody gets words', async () => {
    const without = setUp({ policy: () => plainPolicy });
    expect(await jsonOf(await without.send(modern()))).toMatchObject({ result: { isError: true } });
    const waiting = setUp();
    waiting.broker.lease = { ...missing, decision: 'pendingApproval', message: 'Ask Bob.' };
    const body = JSON.stringify(await jsonOf(await waiting.send(modern())));
    expect(body).toContain('waits for approval');
    expect(body).toContain('Ask Bob.');
    expect(body).not.toContain('keys.example');
  });

  test.each(['invalid', 'expired'] as const)(
    'a key that is %s is asked for like one that is missing',
    async (decision) => {
      const { ask, broker } = setUp();
      broker.lease = { ...missing, decision };
      expect((await ask()).result.resultType).toBe('input_required');
    },
  );
});

describe(verifies('mcp:11-request-state'), () => {
  test('the call goes on when the key is there, without our marks and otherwise byte for byte', async () => {
    const { send, setKey, ask, forwarded } = setUp();
    const params = { name: 'search', arguments: { q: '1.0', big: 1 } };
    const asked = await ask({ params });
    setKey();
    const retry = retryOf(asked, { params });
    const untouched = retry.body.replace('"big":1', '"big":12345678901234567890.10');
    const digestStays = await send({ ...retry, body: untouched });
    expect(await jsonOf(digestStays)).toMatchObject({ error: { code: -32_602 } });
    expect((await send(retry)).status).toBe(200);
    expect(new TextDecoder().decode(forwarded[0]!.body)).toBe(modern({ id: 'm-2', params }).body);
    expect(forwarded[0]!.headers.get('x-api-key')).toBe('key-3');
  });

  test('works in another pod, and for a client that writes its params in another order', async () => {
    const asked = await setUp().ask({ params: { name: 'search', arguments: { a: 1, b: { c: 2, d: 3 } } } });
    const elsewhere = setUp();
    elsewhere.setKey();
    await elsewhere.send(retryOf(asked, { params: { arguments: { b: { d: 3, c: 2 }, a: 1 }, name: 'search' } }));
    expect(elsewhere.forwarded).toHaveLength(1);
  });

  test('what the upstream had the client keep and answer is put back', async () => {
    const { send, setKey, forwardedBody } = setUp();
    const theirs = { requestState: 'of the upstream', inputResponses: { sampling: { role: 'assistant' } } };
    const params = { name: 'search', arguments: {}, ...theirs };
    const asked = (await jsonOf(await send(modern({ params })))) as InputRequired;
    setKey();
    await send(retryOf(asked, { params: { name: 'search', arguments: {} } }));
    expect(forwardedBody()).toMatchObject({ params });
    expect(JSON.stringify(forwardedBody())).not.toContain('mk1.');
  });

  test('what is not ours passes untouched, also when it looks a little like ours', async () => {
    const { send, setKey, forwarded } = setUp();
    setKey();
    for (const requestState of ['opaque', 'mk1.AAAAAAAAAAAA.AAAA', `x${marker}.AAAA`]) {
      const request = modern({ params: { name: 'search', requestState, inputResponses: { a: { action: 'accept' } } } });
      await send(request);
      expect(new TextDecoder().decode(forwarded.at(-1)!.body)).toBe(request.body);
    }
    const talk = modern({ params: { name: 'search', arguments: { text: marker } } });
    await send(talk);
    expect(new TextDecoder().decode(forwarded.at(-1)!.body)).toBe(talk.body);
  });

  test('answers of others beside ours stay as they are', async () => {
    const { send, setKey, ask, forwardedBody } = setUp();
    const asked = await ask();
    setKey();
    const retry = JSON.parse(retryOf(asked).body) as { params: { inputResponses: object } };
    retry.params.inputResponses = { ...retry.params.inputResponses, other: { action: 'decline' } };
    await send({ ...retryOf(asked), body: JSON.stringify(retry) });
    expect(forwardedBody()).toMatchObject({ params: { inputResponses: { other: { action: 'decline' } } } });
    expect(forwardedBody()).not.toHaveProperty(['params', 'inputResponses', marker]);
    expect(forwardedBody()).not.toHaveProperty('params.requestState');
  });

  test.each<[string, (asked: InputRequired) => ReturnType<typeof modern>]>([
    [
      'altered',
      (asked) => alter(retryOf(asked), asked.result.requestState, `${asked.result.requestState.slice(0, -2)}AA`),
    ],
    ['cut', (asked) => alter(retryOf(asked), asked.result.requestState, `${marker}.AAAA`)],
    ['of another call', (asked) => retryOf(asked, { params: { name: 'search', arguments: { q: 2 } } })],
    ['of another tool', (asked) => retryOf(asked, { params: { name: 'delete', arguments: { q: 1 } } })],
    ['of another method', (asked) => retryOf(asked, { method: 'prompts/get' })],
  ])('a state that is %s is refused as the official SDK refuses it', async (_what, retry) => {
    const { send, setKey, ask, forwarded, events } = setUp();
    const asked = await ask();
    setKey();
    const response = await send(retry(asked));
    expect(response.status).toBe(200);
    expect(await jsonOf(response)).toEqual({
      jsonrpc: '2.0',
      id: 'm-2',
      error: { code: -32_602, message: 'Invalid or expired requestState' },
    });
    expect(forwarded).toHaveLength(0);
    expect(events.at(-1)).toMatchObject({ decision: 'badRequest' });
  });

  test("a state of another user is refused, with and without that user's key", async () => {
    const { send, broker, ask, leases, forwarded } = setUp();
    const asked = await ask();
    const bob = { subject: { ...alice, id: 'u-2' }, subjectKey: 'bob' };
    for (const lease of [
      { ...granted, ...bob },
      { ...missing, ...bob },
    ]) {
      broker.lease = lease;
      leases.dropAll();
      expect(await jsonOf(await send(retryOf(asked)))).toMatchObject({ error: { code: -32_602 } });
    }
    expect(forwarded).toHaveLength(0);
  });

  test('a state is refused when it is too old', async () => {
    const { send, setKey, ask, forwarded } = setUp({ ladder: { stateMsMax: -1 } });
    const asked = await ask();
    setKey();
    expect(await jsonOf(await send(retryOf(asked)))).toMatchObject({ error: { code: -32_602 } });
    expect(forwarded).toHaveLength(0);
  });

  test('a call with a large body is not interrupted: then words have to do', async () => {
    const { send } = setUp({ ladder: { askedBytesMax: 300 } });
    const params = { name: 'search', arguments: { text: 'x'.repeat(300) } };
    expect(await jsonOf(await send(modern({ params })))).toMatchObject({ result: { isError: true } });
  });

  test('what the upstream had kept is not carried when it is too large: then words have to do', async () => {
    const roomy = (): Bounds => ({ ...bounds, bodyBytesMax: 200_000 });
    const { send } = setUp({
      bounds: roomy,
      pace: { ...pace, windowBytesMin: 300_000 },
      bodies: new BodyBudget(200_000),
    });
    const large = modern({ params: { name: 'search', requestState: 'x'.repeat(70_000) } });
    expect(await jsonOf(await send(large))).toMatchObject({ result: { isError: true, resultType: 'complete' } });
  });
});

function alter(request: ReturnType<typeof modern>, text: string, altered: string): ReturnType<typeof modern> {
  return { ...request, body: request.body.replace(text, altered) };
}

describe('a retry whose key is not there yet', () => {
  test('is held, and goes on by itself at once when the user has set one', async () => {
    const { send, ask, setKey, forwarded, events } = setUp({ ladder: { holdMsMax: 5_000 } });
    const response = await send(retryOf(await ask()));
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('cache-control')).toBe('no-cache, no-transform');
    const event = eventOf(response);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(forwarded).toHaveLength(0);
    const startedMs = performance.now();
    setKey();
    expect(await event).toEqual({ jsonrpc: '2.0', id: 1, result: {} });
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    expect(forwarded[0]!.headers.get('x-api-key')).toBe('key-3');
    expect(events.at(-1)).toMatchObject({ decision: 'forwarded', keyVersion: 3, leaseId: 'lease-1' });
  });

  test('shows at once that it lives, and goes on showing it', async () => {
    const { send, ask } = setUp({ ladder: { holdMsMax: 60_000, commentEveryMs: 20 } });
    const response = await send(retryOf(await ask()));
    if (!isChunks(response.body)) throw new Error('not held');
    for (let time = 0; time < 4; time += 1) {
      expect(new TextDecoder().decode(await response.body.read())).toBe(':\n\n');
    }
    response.body.cancel();
    expect(await response.body.read()).toBeUndefined();
  });

  test('notices a key although no notice of it came', async () => {
    const { send, ask, broker } = setUp({ ladder: { holdMsMax: 10_000, pollMs: 100 } });
    const event = eventOf(await send(retryOf(await ask())));
    broker.lease = granted;
    expect(await event).toMatchObject({ result: {} });
  });

  test('asks again when time is up, a bounded number of times, and then says it in words', async () => {
    const { send, ask } = setUp({ ladder: { holdMsMax: 5, roundsMax: 3 } });
    let asked = await ask();
    for (let round = 1; round < 3; round += 1) {
      asked = (await eventOf(await send(retryOf(asked)))) as InputRequired;
      expect(asked.result.resultType).toBe('input_required');
    }
    expect(await eventOf(await send(retryOf(asked)))).toMatchObject({ id: 'm-2', result: { isError: true } });
  });

  test.each(['decline', 'cancel'])('is told in words when the user has said %s', async (action) => {
    const { send, ask } = setUp({ ladder: { holdMsMax: 60_000 } });
    const response = await send(retryOf(await ask(), {}, action));
    expect(await jsonOf(response)).toMatchObject({ id: 'm-2', result: { isError: true, resultType: 'complete' } });
  });

  test('waits without a stream where the client takes none', async () => {
    const { send, ask, setKey } = setUp({ ladder: { silentHoldMsMax: 5_000 } });
    const answer = send(retryOf(await ask(), { accept: 'application/json' }));
    setTimeout(() => setKey(), 20);
    const response = await answer;
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await jsonOf(response)).toMatchObject({ result: {} });
  });

  test('is let go when the client leaves, and its place is free again', async () => {
    const { send, ask, held, forwarded, setKey } = setUp({ ladder: { holdMsMax: 60_000 } });
    const response = await send(retryOf(await ask()));
    expect(held.held).toBe(1);
    if (isChunks(response.body)) response.body.cancel();
    await vi.waitFor(() => expect(held.held).toBe(0));
    setKey();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(forwarded).toHaveLength(0);
  });

  test('ends at drain, so that the client comes back elsewhere', async () => {
    const { send, ask, drain } = setUp({ ladder: { holdMsMax: 60_000 } });
    const event = eventOf(await send(retryOf(await ask())));
    drain.stop();
    expect(await event).toMatchObject({ result: { resultType: 'input_required' } });
  });

  test('is not held when its user has taken all their places', async () => {
    const { send, ask, held } = setUp({ ladder: { holdMsMax: 60_000, heldPerUserMax: 2 } });
    const asked = await ask();
    const waiting = [await send(retryOf(asked)), await send(retryOf(asked))];
    expect(held.held).toBe(2);
    expect(await jsonOf(await send(retryOf(asked)))).toMatchObject({ result: { resultType: 'input_required' } });
    for (const { body } of waiting) if (isChunks(body)) body.cancel();
  });

  test('ends with what the broker says of a user who may no longer call', async () => {
    const { send, ask, broker, leases } = setUp({ ladder: { holdMsMax: 60_000 } });
    const event = eventOf(await send(retryOf(await ask())));
    broker.lease = { decision: 'denied', reason: 'ServerNotFound', message: 'There is no such server.' };
    leases.invalidate('abc');
    expect(await event).toMatchObject({ id: 'm-2', error: { code: 1403, message: 'There is no such server.' } });
  });

  test.each<[string, () => ProxyResponse, unknown]>([
    [
      'JSON over several lines',
      () => ({ ...json(200, {}), body: new TextEncoder().encode('{\r\n "id": 7\n}') }),
      { id: 7 },
    ],
    ['an event stream', () => stream('data: {"id"', ':8}\n\n'), { id: 8 }],
    ['an error of the upstream', () => json(400, { id: 9, error: { code: -32_022 } }), { id: 9 }],
    [
      'a page of HTML',
      () => ({ ...json(502, {}), headers: new Fields({ 'content-type': 'text/html' }) }),
      { id: 'm-2' },
    ],
    ['nothing', () => ({ status: 202, headers: new Fields(), body: undefined }), { id: 'm-2' }],
    [
      'a failure',
      () => {
        throw new Error('reset');
      },
      { id: 'm-2' },
    ],
  ])('passes on %s', async (_what, respond, expected) => {
    const { send, ask, setKey } = setUp({ respond, ladder: { holdMsMax: 5_000 } });
    const event = eventOf(await send(retryOf(await ask())));
    setKey();
    const body = (await event) as { id: unknown; error?: { code: number } };
    expect(body).toMatchObject(expected as object);
    if (body.id === 'm-2') expect(body.error!.code).toBe(1502);
  });

  test('passes a long stream on as it comes', async () => {
    const respond = () => ({ ...stream(), body: chunksFrom('data: 1\n\n', 'data: 2\n\n') });
    const { send, ask, setKey } = setUp({ respond, ladder: { holdMsMax: 5_000 } });
    const response = await send(retryOf(await ask()));
    setKey();
    expect((await bodyOf(response)).endsWith('data: 1\n\ndata: 2\n\n')).toBe(true);
  });
});

describe(verifies('mcp:12-key-page-link'), () => {
  test('leads over TLS to a page that can tell who was asked, and names nobody', async () => {
    const { ask } = setUp();
    const { url } = (await ask()).result.inputRequests[marker]!.params;
    expect(url).toMatch(/^https:/);
    for (const personal of [alice.id, alice.name, 'abc=', missing.subjectKey])
      expect(url.slice(pageUrl.length)).not.toContain(`=${personal}`);
    const token = new URL(url).searchParams.get(askParameter)!;
    const asked = { server, subjectKey: missing.subjectKey };
    expect(verifyKeyLink(token, { stateKey, asked, now: new Date() })).toBeDefined();
    const visitor = { server, subjectKey: 'somebody-else' };
    expect(verifyKeyLink(token, { stateKey, asked: visitor, now: new Date() })).toBeUndefined();
  });

  test('is another one each time, and opens nothing by itself', async () => {
    const { ask } = setUp();
    const links = [await ask(), await ask()].map(({ result }) => result.inputRequests[marker]!.params.url);
    expect(new Set(links).size).toBe(2);
  });

  test('counts once at a page that remembers the numbers, however it is written again', async () => {
    const { ask } = setUp();
    const asked = { server, subjectKey: missing.subjectKey };
    const used = new Set<string>();
    /** As the page has to do it. */
    const visit = (token: string): boolean => {
      const nonce = verifyKeyLink(token, { stateKey, asked, now: new Date() });
      if (nonce === undefined || used.has(nonce)) return false;
      used.add(nonce);
      return true;
    };
    const tokenOf = async () => {
      const { url } = (await ask()).result.inputRequests[marker]!.params;
      return new URL(url).searchParams.get(askParameter)!;
    };
    const token = await tokenOf();
    expect(visit(token)).toBe(true);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (let at = 0; at < token.length; at += 1) {
      for (const char of alphabet) expect(visit(token.slice(0, at) + char + token.slice(at + 1))).toBe(false);
    }
    for (const more of ['', '=', '==', 'A', ' ', '\n', '%3D']) expect(visit(token + more)).toBe(false);
    expect(visit(await tokenOf())).toBe(true);
  });

  test('asks for no key in a form', async () => {
    const { ask } = setUp();
    expect((await ask()).result.inputRequests[marker]!.params.mode).toBe('url');
  });
});

describe(verifies('mcp:13-refused-key'), () => {
  function refused(options: SetUp = {}) {
    const outcomes = {
      isWatching: true,
      rejected: vi.fn<Outcomes['rejected']>(),
      accepted: vi.fn<Outcomes['accepted']>(),
      ends: vi.fn<Outcomes['ends']>(),
    };
    const made = setUp({ respond: rejecting, outcomes, ...options });
    made.setKey(5);
    return { ...made, outcomes };
  }

  test.each([
    ['modern, opens URLs', () => modern(), { result: { resultType: 'input_required' } }],
    ['modern', () => modern({ capabilities: {} }), { result: { isError: true, resultType: 'complete' } }],
    ['legacy', () => ({ body: rpc('tools/call', { name: 'a' }) }), { result: { isError: true } }],
    ['legacy, no tool', () => ({ body: rpc('prompts/get', { name: 'a' }) }), { error: { code: 1002 } }],
  ])('the call is answered by us, never by the 401 or its challenge: %s', async (_client, request, expected) => {
    const { send, outcomes, events } = refused();
    const response = await send(request());
    expect(response.status).toBe(200);
    expect(response.headers.get('www-authenticate')).toBeNull();
    const body = await jsonOf(response);
    expect(body).toMatchObject(expected);
    expect(JSON.stringify(body)).toContain('was rejected');
    expect(JSON.stringify(body)).not.toContain('up.example');
    expect(outcomes.rejected).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ subjectKey: 'abc', keyVersion: 5 }),
    );
    expect(events).toMatchObject([{ decision: 'keyRejected', keyVersion: 5 }]);
  });

  test.each([
    ['a notification', { body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }) }],
    ['the GET stream', { method: 'GET' }],
    ['the end of a session', { method: 'DELETE' }],
  ])('%s is refused without a 401 and without a body', async (_what, request) => {
    const { send } = refused();
    const response = await send(request);
    expect(response.status).toBe(403);
    expect(response.body).toBeUndefined();
    expect(response.headers.get('www-authenticate')).toBeNull();
  });

  test.each([400, 403, 404, 429, 500, 502, 503])('%i says nothing about a key, and passes', async (status) => {
    const headers = { 'www-authenticate': 'Bearer error="insufficient_scope"' };
    const { send, outcomes } = refused({ respond: () => json(status, { of: 'the upstream' }, headers) });
    const response = await send(modern());
    expect(response.status).toBe(status);
    expect(await jsonOf(response)).toEqual({ of: 'the upstream' });
    expect(outcomes.rejected).not.toHaveBeenCalled();
    expect(outcomes.accepted).not.toHaveBeenCalled();
    // A challenge of the upstream would start a login that cannot help.
    if (status === 403) expect(response.headers.get('www-authenticate')).toBeNull();
  });

  test('the end that an upstream tells of a key is told to the broker, with every status but 401, and reaches the client', async () => {
    const headers = { 'github-authentication-token-expiration': '2027-01-31 09:00:00 UTC' };
    for (const status of [200, 403, 404, 401]) {
      const { send, outcomes } = refused({ respond: () => json(status, {}, headers) });
      const response = await send(modern());
      const told = [expect.objectContaining({ subjectKey: 'abc', keyVersion: 5 }), '2027-01-31T09:00:00.000Z'];
      expect(outcomes.ends.mock.calls).toEqual(status === 401 ? [] : [told]);
      if (status !== 401) expect(response.headers.get('github-authentication-token-expiration')).toContain('2027');
    }
    const { send, outcomes } = refused({
      respond: () => json(200, {}, { ...headers, 'github-authentication-token-expiration': 'x'.repeat(9_000) }),
    });
    expect((await send(modern())).status).toBe(200);
    expect(outcomes.ends).not.toHaveBeenCalled();
  });

  test('a call with a good key is told of while others are refused; lists prove nothing', async () => {
    const { send, outcomes } = refused({ respond: () => json(200, {}) });
    await send({ body: rpc('tools/list') });
    expect(outcomes.accepted).not.toHaveBeenCalled();
    await send(modern());
    expect(outcomes.accepted).toHaveBeenCalledOnce();
    outcomes.isWatching = false;
    await send(modern());
    expect(outcomes.accepted).toHaveBeenCalledOnce();
  });

  test('the refused version is not sent again in the same call, until its user has set another', async () => {
    const { send, setKey, forwarded } = refused({ ladder: { holdMsMax: 60_000 } });
    const asked = (await jsonOf(await send(modern()))) as InputRequired;
    expect(forwarded).toHaveLength(1);
    const event = eventOf(await send(retryOf(asked)));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(forwarded).toHaveLength(1);
    setKey(6);
    expect(await event).toMatchObject({ result: { resultType: 'input_required' } });
    expect(forwarded.map(({ headers }) => headers.get('x-api-key'))).toEqual(['key-5', 'key-6']);
  });

  test('it is sent once more after a long wait, for the upstream may have been wrong; the client never loops fast', async () => {
    const { send, forwarded } = refused({ ladder: { holdMsMax: 60 } });
    const asked = (await jsonOf(await send(modern()))) as InputRequired;
    const startedMs = performance.now();
    await eventOf(await send(retryOf(asked)));
    expect(performance.now() - startedMs).toBeGreaterThan(50);
    expect(forwarded).toHaveLength(2);
  });

  test('a server that declares no key and wants one all the same does not start a login either', async () => {
    const { send, outcomes, broker, leases } = refused();
    broker.lease = { ...granted, headers: [], keyVersion: 0 };
    leases.dropAll();
    const response = await send(modern());
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBeNull();
    expect(outcomes.rejected).not.toHaveBeenCalled();
  });

  test('the 401 is let go of, also where its body never ends', async () => {
    const cancelled = vi.fn<() => void>();
    const { send } = refused({ respond: () => ({ ...rejecting(), body: silence(cancelled) }) });
    expect((await send(modern())).status).toBe(200);
    expect(cancelled).toHaveBeenCalledOnce();
  });
});

describe(verifies('mcp:14-handshake-without-key'), () => {
  const keyless = [
    'initialize',
    'ping',
    'server/discover',
    'tools/list',
    'prompts/list',
    'resources/list',
    'resources/templates/list',
    'completion/complete',
    'subscriptions/listen',
  ];

  test.each(keyless)('%s goes on without a key, and what the upstream answers passes', async (method) => {
    const { send, forwarded } = setUp({
      respond: () => json(400, { error: { code: -32_000, message: 'Bad Request' } }),
    });
    const response = await send({ body: rpc(method) });
    expect(response.status).toBe(400);
    expect(await bodyOf(response)).toBe('{"error":{"code":-32000,"message":"Bad Request"}}');
    expect(forwarded[0]!.headers.has('x-api-key')).toBe(false);
  });

  test.each([...keyless, 'notifications/initialized', 'DELETE'])(
    '%s goes on without the key that the upstream refuses',
    async (method) => {
      const respond: WorldOptions['respond'] = ({ headers }) =>
        headers.has('x-api-key') ? rejecting() : json(200, { fine: true });
      const { send, setKey, forwarded } = setUp({ respond });
      setKey();
      const request =
        method === 'DELETE'
          ? { method }
          : { body: method.startsWith('notifications/') ? JSON.stringify({ jsonrpc: '2.0', method }) : rpc(method) };
      const response = await send(request);
      expect(response.status).toBe(200);
      expect(await jsonOf(response)).toEqual({ fine: true });
      expect(forwarded).toHaveLength(2);
      expect(new TextDecoder().decode(forwarded[1]!.body)).toBe(new TextDecoder().decode(forwarded[0]!.body));
    },
  );

  test.each(['tools/call', 'prompts/get', 'made/up'])('%s is never sent without a key', async (method) => {
    const { send, setKey, forwarded } = setUp({ respond: rejecting });
    setKey();
    await send({ body: rpc(method, { name: 'a' }) });
    expect(forwarded).toHaveLength(1);
  });

  test.each([missing, { ...granted, keyVersion: 3 }])(
    'an upstream that refuses even these is told in words, not as a login',
    async (lease) => {
      const { send, broker } = setUp({ respond: rejecting });
      broker.lease = lease;
      for (const method of keyless) {
        const response = await send({ body: rpc(method, { capabilities: urls }) });
        expect(response.status).toBe(200);
        expect(await jsonOf(response)).toMatchObject({
          error: { code: lease.decision === 'granted' ? 1002 : 1001, data: { url: pageUrl } },
        });
      }
    },
  );
});
