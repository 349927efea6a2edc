import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { beforeAll, expect, test } from 'vitest';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { LimitStoreError } from '#operator/limits/limit-store.ts';
import { verifies } from '#test/requirements.ts';
import { policyOf } from '#test/support/broker-world.ts';
import { startRealBroker, type RealBroker } from '../conformance/suite/real-broker.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

type Limits = NonNullable<UserKeyPolicy['spec']['limits']>;

let generation = 0;

function limit(real: RealBroker, limits: Limits): void {
  const written = policyOf('limits', { limits });
  generation += 1;
  real.world.sources.userKeyPolicies.put({ ...written, metadata: { ...written.metadata, generation } });
}

test(verifies('limits:sidecars'), async () => {
  await using real = await startRealBroker();
  limit(real, { requests: [{ per: 'Hour', max: 30 }], tools: [{ match: 'create_*', per: 'Day', max: 3 }] });
  await using upstream = await Upstream.recording((_request, response, body) => {
    const { id } = JSON.parse(body) as { id: unknown };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
  });
  await using first = await SidecarProcess.start({ broker: real.brokerOf(0), upstreamPort: upstream.port });
  await using second = await SidecarProcess.start({ broker: real.brokerOf(1), upstreamPort: upstream.port });
  const headers = { authorization: real.authorization };
  const send = async ({ url }: SidecarProcess, body: string): Promise<string> =>
    (await post(url, body, { headers })).text();
  const creating = await Promise.all([first, first, first, second, second].map((one) => send(one, call('create_it'))));
  expect(creating.filter((text) => text.includes('"result"'))).toHaveLength(3);
  expect(creating.find((text) => text.includes('"code":1429'))).toContain('"match":"create_*"');
  const others = await Promise.all(
    Array.from({ length: 60 }, (_, count) => send(count % 2 === 0 ? first : second, rpc('tools/list'))),
  );
  const passed = others.filter((text) => text.includes('"result"')).length;
  expect(passed).toBeLessThanOrEqual(27);
  // What one of them was granted and has not used is lost to the other for a while.
  expect(passed).toBeGreaterThanOrEqual(20);
  expect(await send(first, rpc('ping'))).toContain('"result"');
  await eventually(() => real.requests().some(({ decision }) => decision === 'limited'));
  expect(await first.metrics()).toMatch(
    /mcpkeyring_limited_total\{kind="(?:tools|requests)",per="(?:Day|Hour)"\} [1-9]/,
  );
  expect(await real.world.registry.metrics()).toContain('mcpkeyring_limits_granted_total{kind="tools",per="Day"} 3');
});

test('official clients show which limit is reached, as an error of its kind', async () => {
  await using real = await startRealBroker();
  limit(real, { tools: [{ match: 'echo', per: 'Day', max: 1 }] });
  await using upstream = await Upstream.sdk();
  await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  for (const mode of ['legacy', 'auto'] as const) {
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
    const requestInit = { headers: { authorization: real.authorization } };
    await client.connect(new StreamableHTTPClientTransport(new URL(sidecar.url), { requestInit }));
    const echo = (): Promise<unknown> => client.callTool({ name: 'echo', arguments: { text: 'hello' } });
    if (mode === 'legacy') await echo();
    await expect(echo()).rejects.toMatchObject({ code: 1429, data: { limit: { per: 'Day', max: 1 } } });
    await client.close();
  }
});

test('a store that fails is what the policy says it is, and what it cost is counted', async () => {
  await using real = await startRealBroker();
  limit(real, { requests: [{ per: 'Hour', max: 30 }], onStoreFailure: 'Closed' });
  real.world.limits.failure = new LimitStoreError('Unavailable');
  await using upstream = await Upstream.recording((_request, response, body) => {
    const { id } = JSON.parse(body) as { id: unknown };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
  });
  await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
  const headers = { authorization: real.authorization };
  const send = async (): Promise<string> => (await post(sidecar.url, rpc('tools/list'), { headers })).text();
  expect(await send()).toContain('"code":1507');
  expect(await sidecar.metrics()).toContain('mcpkeyring_limits_uncounted_total{mode="Closed"} 1');
  expect(await real.world.registry.metrics()).toContain('mcpkeyring_limit_store_errors_total{code="Unavailable"}');
  limit(real, { requests: [{ per: 'Hour', max: 30 }], onStoreFailure: 'Open' });
  await eventually(async () => (await send()).includes('"result"'), 5_000);
});

test('nobody counts for the users of a server that is not theirs', async () => {
  await using real = await startRealBroker();
  limit(real, { requests: [{ per: 'Hour', max: 30 }] });
  const { TestBrokerClient } = await import('#test/support/broker-client.ts');
  using client = new TestBrokerClient(Number(new URL(real.broker.url).port), real.broker.ca);
  const body = {
    server: { namespace: 'team-a', name: 'jira' },
    subjectKey: 'a',
    buckets: [{ bucket: 'x', wanted: 1 }],
  };
  expect((await client.call('/v1/quota', { token: real.broker.pod?.token, body })).status).toBe(403);
  expect((await client.call('/v1/quota', { body })).status).toBe(401);
});
