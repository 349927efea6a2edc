/** What real clients make of a missing or refused key, through the compiled sidecar. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import {
  Client,
  type ClientOptions,
  StreamableHTTPClientTransport,
  UrlElicitationRequiredError,
} from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UrlElicitationRequiredError as UrlElicitationRequiredV1 } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { askParameter, verifyKeyLink } from '#contract/key-link.ts';
import type { LeaseResponse } from '#contract/lease.ts';

import { verifies } from '#test/requirements.ts';
import { installPython, python } from '../conformance/partners/python.ts';
import { BrokerDouble, granted, missing, policy, serverRef } from './support/broker-double.ts';
import { KeyedServer } from './support/keyed-server.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { eventually } from './support/wire.ts';

const stateKey = randomBytes(32).toString('base64url');
const pageUrl = 'https://keys.example/team-a/notes';
const token = { headers: { authorization: 'Bearer alice' } };
const asked = { server: serverRef, subjectKey: 'abcdefgh23456723' };
const call = { name: 'echo', arguments: { text: 'hello' } };
const hello = { content: [{ type: 'text', text: 'hello' }] };

let broker: BrokerDouble;
let upstream: KeyedServer;
let sidecars: SidecarProcess[];

beforeAll(async () => {
  installPython();
  await buildOnce();
}, 300_000);

beforeEach(async () => {
  broker = await BrokerDouble.start();
  broker.policy = { ...policy, keyPage: { url: pageUrl, stateKey } };
  broker.setLease('alice', ofAlice(missing('alice')));
  upstream = await KeyedServer.start();
  sidecars = [await SidecarProcess.start({ broker, upstreamPort: upstream.port })];
});

afterEach(async () => {
  for (const sidecar of sidecars) await sidecar[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

function ofAlice(lease: LeaseResponse, more: object = {}): LeaseResponse {
  return { ...lease, ...more, subjectKey: asked.subjectKey } as LeaseResponse;
}

/** As when alice has set a key at the page. */
function setKey(key: string, keyVersion: number): void {
  upstream.keys.add(key);
  broker.setLease('alice', ofAlice(granted('alice', key), { keyVersion }));
  broker.invalidate(asked.subjectKey);
}

async function connect(options: ClientOptions, url = sidecars[0]!.url): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, options);
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: token }));
  return client;
}

/** Opens the page, as a client does that asks its user first; what the user does there is `visit`. */
function opener(client: Client, visit: () => void): string[] {
  const opened: string[] = [];
  client.setRequestHandler('elicitation/create', ({ params }) => {
    if (params.mode !== 'url') throw new Error('a form');
    opened.push(params.url);
    visit();
    return { action: 'accept' };
  });
  return opened;
}

const info = { name: 'test', version: '1' };

async function connectTo(client: Client | ClientV1, url: string): Promise<void> {
  const Transport = client instanceof ClientV1 ? TransportV1 : StreamableHTTPClientTransport;
  await client.connect(new Transport(new URL(url), { requestInit: token }));
}

const modern = { versionNegotiation: { mode: { pin: '2026-07-28' } } } as const;
const opensUrls = { capabilities: { elicitation: { url: {} } } };

describe('the modern client of the official SDK', () => {
  test('opens the page, waits, and gets its result as soon as the key is set, without being asked twice', async () => {
    const client = await connect({ ...modern, ...opensUrls });
    let setAtMs = Infinity;
    const opened = opener(client, () => {
      setTimeout(() => {
        setAtMs = performance.now();
        setKey('key-1', 11);
      }, 300);
    });
    expect(await client.callTool(call)).toMatchObject(hello);
    expect(performance.now() - setAtMs).toBeLessThan(1_000);
    expect(opened).toHaveLength(1);
    const link = new URL(opened[0]!).searchParams.get(askParameter)!;
    expect(verifyKeyLink(link, { stateKey, asked, now: new Date() })).toBeDefined();
    expect(upstream.calls).toHaveLength(1);
    expect(upstream.calls[0]).toMatchObject({ key: 'key-1' });
    expect(upstream.calls[0]!.body).not.toMatch(/mk1\.|requestState|inputResponses/);
    await client.close();
  });

  test('may come back to another pod', async () => {
    sidecars.push(await SidecarProcess.start({ broker, upstreamPort: upstream.port }));
    const [first, second] = sidecars.map(({ url }) => url);
    let calls = 0;
    const client = new Client({ name: 'test', version: '1' }, { ...modern, ...opensUrls });
    const transport = new StreamableHTTPClientTransport(new URL(first!), {
      requestInit: token,
      fetch: async (url, init) => {
        if (typeof init?.body === 'string' && init.body.includes('"tools/call"')) calls += 1;
        return fetch(calls > 1 ? second! : url, init);
      },
    });
    await client.connect(transport);
    opener(client, () => setKey('key-1', 11));
    expect(await client.callTool(call)).toMatchObject(hello);
    expect(calls).toBe(2);
    await client.close();
  });

  test('is told in words that its user said no, or that it opens no URLs', async () => {
    const declining = await connect({ ...modern, ...opensUrls });
    declining.setRequestHandler('elicitation/create', () => ({ action: 'decline' }));
    const plain = await connect(modern);
    for (const client of [declining, plain]) {
      const result = await client.callTool(call);
      expect(result.isError).toBe(true);
      expect(JSON.stringify(result.content)).toContain(pageUrl);
      await client.close();
    }
    expect(upstream.calls).toHaveLength(0);
  });

  test('is led to the page when the upstream refuses the key, and goes on with the next one', async () => {
    setKey('key-1', 11);
    const client = await connect({ ...modern, ...opensUrls });
    upstream.keys.clear();
    const opened = opener(client, () => setTimeout(() => setKey('key-2', 12), 200));
    expect(await client.callTool(call)).toMatchObject(hello);
    expect(opened).toHaveLength(1);
    expect(upstream.calls).toMatchObject([{ key: 'key-2' }]);
    expect(upstream.refusals).toBe(1);
    await eventually(() => broker.outcomes.some(({ keyVersion }) => keyVersion === 11));
    expect(broker.outcomes[0]).toEqual({ subjectKey: asked.subjectKey, keyVersion: 11, outcome: 'rejected' });
    await client.close();
  });

  test('connects with a key that the upstream refuses, so that it can be asked for another', async () => {
    broker.setLease('alice', ofAlice(granted('alice', 'revoked')));
    broker.invalidate(asked.subjectKey);
    for (const mode of ['legacy', 'auto', { pin: '2026-07-28' }] as const) {
      const client = await connect({ versionNegotiation: { mode } });
      expect((await client.listTools()).tools).toHaveLength(1);
      expect(client.getNegotiatedProtocolVersion()).toBe(mode === 'legacy' ? '2025-11-25' : '2026-07-28');
      await client.close();
    }
  });
});

describe('legacy clients', () => {
  test('of SDK v2 get the typed error with the link, and the result after their user has been there', async () => {
    const client = await connect(opensUrls);
    const error = await client.callTool(call).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UrlElicitationRequiredError);
    const [elicitation] = (error as UrlElicitationRequiredError).elicitations;
    expect(elicitation!.url).toMatch(/^https:\/\/keys\.example\/team-a\/notes\?ask=/);
    setKey('key-1', 11);
    const works = (): Promise<boolean> =>
      client.callTool(call).then(
        ({ isError }) => isError !== true,
        () => false,
      );
    await eventually(works);
    expect(upstream.calls.length).toBeGreaterThan(0);
    await client.close();
  });

  test('of SDK v1 as well', async () => {
    const client = new ClientV1({ name: 'test', version: '1' }, opensUrls);
    await client.connect(new TransportV1(new URL(sidecars[0]!.url), { requestInit: token }));
    const error = await client.callTool(call).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UrlElicitationRequiredV1);
    expect((error as UrlElicitationRequiredV1).elicitations[0]!.url).toContain(pageUrl);
    await client.close();
  });

  test.each(['v1', 'v2'] as const)(`of SDK %s: ${verifies('mcp:10-completion')}`, async (generation) => {
    const client = generation === 'v2' ? new Client(info, opensUrls) : new ClientV1(info, opensUrls);
    const completed: unknown[] = [];
    client.fallbackNotificationHandler = async (notification: object) => void completed.push(notification);
    await connectTo(client, sidecars[0]!.url);
    const errors: unknown[] = [];
    for (let time = 0; time < 2; time += 1) errors.push(await client.callTool(call).catch((thrown: unknown) => thrown));
    const ids = errors.flatMap((error) =>
      (error as UrlElicitationRequiredError).elicitations.map(({ elicitationId }) => elicitationId),
    );
    expect(new Set(ids).size).toBe(2);
    broker.invalidate(asked.subjectKey);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(completed).toEqual([]);
    const setAtMs = performance.now();
    setKey('key-1', 11);
    await eventually(() => completed.length === 2);
    expect(performance.now() - setAtMs).toBeLessThan(1_000);
    expect(completed).toMatchObject(
      ids.map((elicitationId) => ({ method: 'notifications/elicitation/complete', params: { elicitationId } })),
    );
    expect(await client.callTool(call)).toMatchObject(hello);
    await client.close();
  });

  test('are told of a key that replaces the one that the upstream refused, not of that one', async () => {
    setKey('key-1', 11);
    const client = new Client(info, opensUrls);
    const completed: unknown[] = [];
    client.fallbackNotificationHandler = async (notification: object) => void completed.push(notification);
    await connectTo(client, sidecars[0]!.url);
    upstream.keys.clear();
    await expect(client.callTool(call)).rejects.toBeInstanceOf(UrlElicitationRequiredError);
    broker.invalidate(asked.subjectKey);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(completed).toEqual([]);
    setKey('key-2', 12);
    await eventually(() => completed.length === 1);
    expect(await client.callTool(call)).toMatchObject(hello);
    await client.close();
  });

  test.each([{}, { capabilities: { elicitation: {} } }])(
    'that open no URLs (%j) get words with the whole URL',
    async (options) => {
      const v2 = await connect(options);
      const v1 = new ClientV1({ name: 'test', version: '1' }, options);
      await v1.connect(new TransportV1(new URL(sidecars[0]!.url), { requestInit: token }));
      for (const client of [v1, v2]) {
        const result = await client.callTool(call);
        expect(result.isError).toBe(true);
        expect(JSON.stringify(result.content)).toContain(`Set it here: ${pageUrl}`);
        await client.close();
      }
    },
  );

  test('never see the 401 of the upstream, nor start a login because of it', async () => {
    setKey('key-1', 11);
    let logins = 0;
    const authProvider = { token: async () => 'alice', onUnauthorized: async () => void (logins += 1) };
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(new StreamableHTTPClientTransport(new URL(sidecars[0]!.url), { authProvider }));
    upstream.keys.clear();
    const result = await client.callTool(call);
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result.content)).toContain('was rejected');
    expect(logins).toBe(0);
    await client.close();
  });
});

describe('the Python SDK', () => {
  /** Runs it; `visit` is called when it opens the page. */
  async function run(mode: string, visit: () => void): Promise<{ readonly kind: string; readonly value: unknown }> {
    const program = join(import.meta.dirname, 'support/asked-client.py');
    const child = spawn(python, [program, sidecars[0]!.url, token.headers.authorization, mode]);
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    for await (const line of createInterface({ input: child.stdout })) {
      const [, kind = '', rest = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
      if (kind === 'opened') visit();
      else return { kind, value: JSON.parse(rest) };
    }
    throw new Error(`the client said nothing: ${errors.slice(-2_000)}`);
  }

  test('in the modern era opens the page, waits, and gets its result', async () => {
    let visits = 0;
    const outcome = await run('auto', () => {
      visits += 1;
      setTimeout(() => setKey('key-1', 11), 300);
    });
    expect(outcome).toMatchObject({ kind: 'result', value: hello });
    expect(visits).toBe(1);
    expect(upstream.calls).toMatchObject([{ key: 'key-1' }]);
  });

  test('in the legacy era gets -32042 with the link', async () => {
    const outcome = await run('legacy', () => {});
    expect(outcome).toMatchObject({ kind: 'error', value: { code: -32_042 } });
    expect(JSON.stringify(outcome.value)).toContain(pageUrl);
  });
});

test('a held call is an open stream with signs of life, and ends with the sidecar', async () => {
  const client = await connect({ ...modern, ...opensUrls });
  const opened = opener(client, () => {});
  const outcome = client.callTool(call).catch((error: unknown) => error);
  await eventually(() => opened.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const stopped = sidecars[0]!.stop();
  expect(await stopped).toBe(0);
  await outcome;
  expect(upstream.calls).toHaveLength(0);
  await client.close();
});
