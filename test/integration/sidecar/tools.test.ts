import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import type { PolicySnapshot } from '#contract/watch.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { verifies } from '#test/requirements.ts';
import { policyOf } from '#test/support/broker-world.ts';
import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

const onlyEcho: PolicySnapshot = { ...policy, tools: [{ deny: ['who*'] }] };

test(verifies('tools:denied'), async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.sdk();
  broker.policy = onlyEcho;
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  for (const mode of ['legacy', 'auto'] as const) {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: 'Bearer alice' } };
    await client.connect(new StreamableHTTPClientTransport(new URL(sidecar.url), { requestInit }));
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo']);
    await expect(client.callTool({ name: 'whoami' })).rejects.toMatchObject({ code: 1010 });
    const echo = await client.callTool({ name: 'echo', arguments: { text: 'still here' } });
    expect(JSON.stringify(echo)).toContain('still here');
    await client.close();
  }
  await eventually(() => [...broker.events.values()].filter(({ decision }) => decision === 'toolDenied').length === 2);
  const denied = [...broker.events.values()].filter(({ decision }) => decision === 'toolDenied');
  expect(denied).toMatchObject([
    { method: 'tools/call', tool: 'whoami', httpStatus: 200, rpcStatus: 1010, subject: { id: 'alice' } },
    { method: 'tools/call', tool: 'whoami', httpStatus: 200, rpcStatus: 1010 },
  ]);
  expect(await sidecar.metrics()).toContain('mcpkeyring_requests_total{decision="toolDenied",code="2xx"} 2');
});

test(verifies('tools:at-once'), async () => {
  await using broker = await BrokerDouble.start();
  const list = { jsonrpc: '2.0', id: 'resumed', result: { tools: [{ name: 'whoami' }, { name: 'echo' }] } };
  let writes = 0;
  await using upstream = await Upstream.recording((request, response, body) => {
    if (request.method !== 'GET') {
      const { id } = JSON.parse(body) as { id: unknown };
      response.writeHead(200, { 'content-type': 'application/json' });
      return void response.end(JSON.stringify({ ...list, id }));
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const beat = setInterval(() => response.write(`id: ${(writes += 1)}\ndata: ${JSON.stringify(list)}\n\n`), 20);
    response.on('close', () => clearInterval(beat));
  });
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const leaving = new AbortController();
  const stream = await fetch(sidecar.url, {
    headers: { authorization: 'Bearer alice', accept: 'text/event-stream', 'last-event-id': '0' },
    signal: leaving.signal,
  });
  const events: { readonly id: number; readonly text: string; readonly atMs: number }[] = [];
  const reading = read(stream, (text) => {
    for (const [, id = '', data = ''] of text.matchAll(/id: (\d+)\ndata: (.*)\n\n/g)) {
      events.push({ id: Number(id), text: data, atMs: performance.now() });
    }
  });
  await eventually(() => events.length > 3);
  expect(events[0]!.text).toContain('whoami');
  expect(await (await post(sidecar.url, rpc('tools/list'), { token: 'alice' })).text()).toContain('whoami');
  expect(await (await post(sidecar.url, call('whoami'), { token: 'alice' })).text()).not.toContain('1010');

  broker.publish(onlyEcho);
  const publishedMs = performance.now();
  await eventually(async () =>
    (await (await post(sidecar.url, call('whoami'), { token: 'alice' })).text()).includes('1010'),
  );
  expect(performance.now() - publishedMs).toBeLessThan(1_000);
  await eventually(() => events.at(-1)!.text.includes('"tools":[{"name":"echo"}]'));
  expect(await (await post(sidecar.url, rpc('tools/list'), { token: 'alice' })).text()).not.toContain('whoami');
  const late = events.filter(({ atMs, text }) => atMs > publishedMs + 1_000 && text.includes('whoami'));
  expect(late).toEqual([]);

  broker.publish(policy);
  await eventually(() => events.at(-1)!.text.includes('whoami'));
  // Nothing was lost, and the upstream saw one stream all the time.
  expect(events.map(({ id }) => id)).toEqual(events.map((_event, index) => index + 1));
  expect(upstream.received.filter(({ method }) => method === 'GET')).toHaveLength(1);
  leaving.abort();
  await reading;
});

test('what a UserKeyPolicy says of tools reaches a sidecar through the broker, within a second', async () => {
  await using real = await startRealBroker();
  let generation = 0;
  const write = (tools: NonNullable<UserKeyPolicy['spec']['tools']>): void => {
    const written = policyOf('strict', { tools });
    generation += 1;
    real.world.sources.userKeyPolicies.put({ ...written, metadata: { ...written.metadata, generation } });
  };
  await using upstream = await Upstream.recording((request, response, body) => {
    const { id } = JSON.parse(body) as { id: unknown };
    const { authorization } = request.headers;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [{ name: 'whoami' }], authorization } }));
  });
  await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  const send = async (body: string): Promise<string> =>
    (await post(sidecar.url, body, { headers: { authorization: real.authorization } })).text();
  expect(await send(call('whoami'))).toContain('"result"');
  write({ deny: ['who*'] });
  await eventually(async () => (await send(call('whoami'))).includes('"code":1010'), 1_000);
  expect(await send(rpc('tools/list'))).toContain('"tools":[]');
  write({ allow: ['whoami', 'other'] });
  await eventually(async () => (await send(call('whoami'))).includes('"result"'), 1_000);
  // The broker says which part of the header is the key: the template around it is no secret.
  expect(await send(call('whoami'))).toContain(`"authorization":"Bearer ${'*'.repeat('key-of-alice'.length)}"`);
  await eventually(() => real.requests().some(({ decision }) => decision === 'toolDenied'));
  await eventually(() => real.requests().some(({ echoes }) => echoes === 1));
});

test(verifies('policy:subjects'), async () => {
  await using real = await startRealBroker();
  let generation = 0;
  const write = (subjects: UserKeyPolicy['spec']['subjects'], tools: UserKeyPolicy['spec']['tools']): void => {
    const written = policyOf('some', {
      ...(subjects === undefined ? {} : { subjects }),
      ...(tools === undefined ? {} : { tools }),
    });
    generation += 1;
    real.world.sources.userKeyPolicies.put({ ...written, metadata: { ...written.metadata, generation } });
  };
  await using upstream = await Upstream.recording((_request, response, body) => {
    const { id } = JSON.parse(body) as { id: unknown };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [{ name: 'whoami' }] } }));
  });
  await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  const send = async (body: string): Promise<string> =>
    (await post(sidecar.url, body, { headers: { authorization: real.authorization } })).text();
  const isDenied = async (): Promise<boolean> => (await send(call('whoami'))).includes('"code":1010');
  expect(await isDenied()).toBe(false);
  write({ users: ['somebody-else'] }, { deny: ['whoami'] });
  await setTimeout(300);
  expect(await isDenied()).toBe(false);
  write({ users: [real.alice.id] }, { deny: ['whoami'] });
  await eventually(isDenied, 1_000);
  expect(await send(rpc('tools/list'))).toContain('"tools":[]');
  write(undefined, { deny: ['whoami'] });
  // From the lease into the snapshot: at no moment may it be called.
  for (const untilMs = performance.now() + 500; performance.now() < untilMs;) expect(await isDenied()).toBe(true);
  write({ users: [real.alice.id] }, undefined);
  await eventually(async () => !(await isDenied()), 1_000);
});

async function read(response: Response, take: (text: string) => void): Promise<void> {
  let rest = '';
  try {
    for await (const chunk of response.body!) {
      rest += Buffer.from(chunk as Uint8Array).toString();
      const end = rest.lastIndexOf('\n\n') + 2;
      take(rest.slice(0, end));
      rest = rest.slice(end);
    }
  } catch {
    // The test left.
  }
}
