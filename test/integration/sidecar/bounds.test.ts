import { Agent, request as httpRequest } from 'node:http';
import { beforeAll, expect, test } from 'vitest';
import type { PolicySnapshot } from '#contract/watch.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { verifies } from '#test/requirements.ts';
import { mcpServer } from '#test/support/broker-world.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { BrokerDouble, granted, policy } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

beforeAll(buildOnce);

const secondMs = 1_000;

async function codeOf(response: Response): Promise<number | undefined> {
  return ((await response.json()) as { error?: { code: number } }).error?.code;
}

/** `fetch` writes Host itself. */
async function statusUnder(url: string, headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  const agent = new Agent();
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const sent = httpRequest(url, { agent, method: 'POST', headers: { 'content-type': 'application/json', ...headers } });
  sent
    .on('error', reject)
    .on('response', (response) => response.resume().on('end', () => resolve(response.statusCode)));
  sent.end(call('x'));
  return promise.finally(() => agent.destroy());
}

/** A sidecar and its server, and what an administrator does to its McpServer. */
async function setUp(respond?: Parameters<typeof Upstream.recording>[0]) {
  const real = await startRealBroker();
  const upstream = await Upstream.recording(respond);
  const sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  let generation = 1;
  const { authorization } = real;
  return {
    sidecar,
    write(spec: Pick<McpServer['spec'], 'limits' | 'allow'>): void {
      generation += 1;
      const server = mcpServer(undefined, { generation });
      real.world.sources.mcpServers.put({ ...server, spec: { ...server.spec, ...spec } });
    },
    send: async (body: string) => codeOf(await post(sidecar.url, body, { headers: { authorization } })),
    statusUnder: async (headers: Readonly<Record<string, string>>) =>
      statusUnder(sidecar.url, { authorization, ...headers }),
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await real[Symbol.asyncDispose]();
    },
  };
}

test(verifies('bounds:at-once'), async () => {
  await using world = await setUp((_request, response, body) => {
    const answer = (): unknown => response.writeHead(200, { 'content-type': 'application/json' }).end(resultOf(body));
    if (body.includes('slow')) setTimeout(answer, 1_500);
    else answer();
  });
  const { process: sidecar } = world.sidecar;
  const large = call('large', { text: 'x'.repeat(2_000) });
  expect([await world.send(large), await world.send(call('slow'))]).toEqual([undefined, undefined]);

  world.write({ limits: { maxBodyBytes: 1_024, answerTimeout: '1s' } });
  await eventually(async () => (await world.send(large)) === 1413, secondMs);
  expect(await world.send(call('small'))).toBeUndefined();
  expect(await world.send(call('slow'))).toBe(1506);

  world.write({ limits: { maxBodyBytes: 8_388_608 } });
  await eventually(async () => (await world.send(large)) === undefined, secondMs);
  expect(await world.send(call('slow'))).toBeUndefined();
  const fiveMiB = call('large', { text: 'x'.repeat(5_242_880) });
  expect(await world.send(fiveMiB)).toBeUndefined();

  world.write({});
  await eventually(async () => (await world.send(fiveMiB)) === 1413, secondMs);
  expect(sidecar.exitCode).toBeNull();
});

test(verifies('mcp:26-host-of-each'), async () => {
  await using world = await setUp();
  const rebound = { host: 'rebound.example' };
  const page = { host: 'github-mcp.team-a.svc', origin: 'https://app.example' };
  expect([await world.statusUnder(rebound), await world.statusUnder(page)]).toEqual([200, 403]);

  world.write({ allow: { hosts: ['mcp.example'], origins: ['https://app.example'] } });
  await eventually(async () => (await world.statusUnder(rebound)) === 403, secondMs);
  // Gateways come under the name of the Service.
  expect(await world.statusUnder(page)).toBe(200);
  expect(await world.statusUnder({ host: 'mcp.example:8080' })).toBe(200);
  expect(await world.statusUnder({ ...page, origin: 'https://evil.example' })).toBe(403);

  world.write({});
  await eventually(async () => (await world.statusUnder(rebound)) === 200, secondMs);
});

test(verifies('bounds:of-each'), async () => {
  const certificate = await makeTestCertificate(['localhost']);
  await using upstream = await Upstream.recording((_request, response, body) => {
    setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(resultOf(body)), 300);
  }, certificate);
  await using broker = await BrokerDouble.start();
  const at = (name: string, more: Partial<PolicySnapshot>): PolicySnapshot => ({
    ...policy,
    server: { namespace: 'team-b', name },
    upstream: {
      kind: 'remote',
      url: `https://localhost:${upstream.port}/mcp`,
      ca: certificate.ca,
      allowPrivateAddresses: true,
    },
    ...more,
  });
  const snapshots = [
    at('strict', { bounds: { answerMsMax: 100, bodyBytesMax: 1_024 }, allow: { hosts: ['strict.example'] } }),
    at('plain', {}),
    // Asks for more than the gateway gives.
    at('greedy', { bounds: { answerMsMax: 60_000, bodyBytesMax: 16_777_216 }, allow: { hosts: ['greedy.example'] } }),
  ];
  for (const snapshot of snapshots) broker.others.set(`team-b/${snapshot.server.name}`, snapshot);
  broker.setLease('alice', granted('alice', 'key-of-alice'));
  const serving = ['--mode=gateway', '--external-url=https://mcp.example'];
  const flags = ['--body-bytes-max=4096', '--answer-ms-max=2000'];
  await using gateway = await SidecarProcess.start({ broker, upstreamPort: 0, serving, flags });
  const url = (name: string): string => `http://127.0.0.1:${gateway.port}/team-b/${name}/mcp`;
  const under = async (name: string, host: string): Promise<number | undefined> =>
    statusUnder(url(name), { authorization: 'Bearer alice', host });
  expect(await under('strict', 'greedy.example')).toBe(403);
  expect(await under('greedy', 'greedy.example')).toBe(200);
  expect([await under('greedy', 'mcp.example'), await under('strict', 'mcp.example')]).toEqual([200, 200]);

  const large = call('x', { text: 'x'.repeat(2_000) });
  const code = async (name: string, body: string): Promise<number | undefined> =>
    codeOf(await post(url(name), body, { token: 'alice' }));
  for (const snapshot of snapshots) broker.publish({ ...snapshot, allow: {} });
  await eventually(async () => (await under('strict', 'any.example')) === 200, secondMs);
  expect([await code('strict', large), await code('plain', large)]).toEqual([1413, undefined]);
  expect([await code('strict', call('x')), await code('plain', call('x'))]).toEqual([1506, undefined]);
  expect(await code('greedy', call('x', { text: 'x'.repeat(5_000) }))).toBe(1413);
});

function resultOf(body: string): string {
  const { id } = JSON.parse(body) as { readonly id: unknown };
  return JSON.stringify({ jsonrpc: '2.0', id, result: {} });
}
