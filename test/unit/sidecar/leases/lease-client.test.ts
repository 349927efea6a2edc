import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BrokerClient, type BrokerFetch, type BrokerRequestInit } from '#sidecar/leases/broker-client.ts';
import { FileSource } from '#sidecar/leases/file-source.ts';
import { LeaseClient } from '#sidecar/leases/lease-client.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lease-client-'));
  await writeFile(join(directory, 'token'), 'token-1\n');
});
afterAll(() => rm(directory, { recursive: true }));

const lease = { decision: 'denied', reason: 'ServerNotFound', message: 'no' } as const;

function set(...answers: readonly (Response | Error | 'hang' | (() => Promise<Response>))[]) {
  const calls: { path: string; init: BrokerRequestInit }[] = [];
  const left = [...answers];
  const fetchBroker: BrokerFetch = async (path, init) => {
    calls.push({ path, init });
    const answer = left.shift() ?? Response.json(lease);
    if (typeof answer === 'function') return answer();
    if (answer instanceof Error) throw answer;
    if (answer === 'hang')
      return new Promise((_resolve, reject) =>
        init.signal.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    return answer;
  };
  const token = new FileSource({
    path: join(directory, 'token'),
    ageMsMax: 60_000,
    bytesMax: 100,
    nowMs: () => performance.now(),
  });
  const client = new LeaseClient({
    broker: new BrokerClient(fetchBroker, token),
    server: { namespace: 'a', name: 'b' },
    limits: { attemptMsMax: 100, callMsMax: 500, backoff: { firstMs: 1, mostMs: 10 } },
  });
  return { client, calls };
}

test('shows who the pod is and asks about the credential in the body', async () => {
  const { client, calls } = set();
  expect(await client.fetch('cred')).toEqual(lease);
  expect(calls).toMatchObject([
    {
      path: '/v1/leases',
      init: {
        method: 'POST',
        headers: { authorization: 'Bearer token-1', 'mcp-keyring-contract': '1' },
        body: '{"server":{"namespace":"a","name":"b"},"credential":"cred"}',
      },
    },
  ]);
});

test.each<[string, Response | Error | 'hang']>([
  ['a reset connection', new Error('ECONNRESET')],
  ['a 503', new Response('', { status: 503 })],
  ['an answer that never comes', 'hang'],
  ['an answer that is no JSON', new Response('<html>')],
  ['an answer outside the contract', Response.json({ decision: 'allowed' })],
  ['an answer that is too long', new Response(' '.repeat(600_000))],
])('tries again after %s', async (_reason, answer) => {
  const { client, calls } = set(answer);
  expect(await client.fetch('cred')).toEqual(lease);
  expect(calls).toHaveLength(2);
});

test('reads the token anew when it is not accepted, and asks once more', async () => {
  const { client, calls } = set(async () => {
    await writeFile(join(directory, 'token'), 'token-2');
    return new Response('', { status: 401 });
  });
  await client.fetch('cred');
  expect(calls[1]!.init.headers['authorization']).toBe('Bearer token-2');
});

test('does not insist when the pod is refused', async () => {
  const refused = () => new Response('', { status: 403 });
  const { client, calls } = set(refused(), refused(), refused());
  await expect(client.fetch('cred')).rejects.toMatchObject({ code: 'PodRefused' });
  expect(calls).toHaveLength(2);
});

test('does not insist when the broker has had enough', async () => {
  const { client, calls } = set(new Response('', { status: 429 }));
  await expect(client.fetch('cred')).rejects.toMatchObject({ code: 'RequestRefused' });
  expect(calls).toHaveLength(1);
});

test('gives up when time is up, and says nothing of the credential', async () => {
  const { client } = set(...Array.from({ length: 200 }, () => new Error('ECONNREFUSED')));
  const startedMs = performance.now();
  const failure: unknown = await client.fetch('secret-credential').catch((error: unknown) => error);
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  expect(failure).toMatchObject({ code: 'BrokerUnavailable' });
  expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain('secret-credential');
});

test('a key in an answer that cannot be read is in no error', async () => {
  const broken = () => new Response('{"decision":"granted","headers":[{"name":"X-A","value":"secret-key"');
  const { client } = set(...Array.from({ length: 200 }, broken));
  const failure = (await client.fetch('cred').catch((error: unknown) => error)) as Error;
  expect(`${failure.message} ${String(failure.cause)} ${failure.stack}`).not.toContain('secret-key');
});
