import { randomUUID } from 'node:crypto';
import { connect } from 'node:tls';

import { afterEach, beforeAll, describe, expect, test } from 'vitest';

import { parseLeaseResponse } from '#contract/parse.ts';
import { createBroker, type Broker } from '#operator/broker/broker.ts';
import { brokerLimits } from '#operator/broker/limits.ts';
import { TestBrokerClient } from '#test/support/broker-client.ts';
import {
  alice,
  bob,
  brokerWorld,
  github,
  mcpServer,
  podOf,
  policyOf,
  subjectKeyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';

const key = 'ghp_"quoted\\key"_of_alice';
const podToken = 'pod:team-a/github-0';
let certificate: TestCertificate;
const cleanUps: (() => unknown)[] = [];

beforeAll(async () => {
  certificate = await makeTestCertificate(['localhost']);
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

interface Running {
  readonly world: BrokerWorld;
  readonly broker: Broker;
  readonly port: number;
  readonly client: TestBrokerClient;
}

async function start(world = brokerWorld()): Promise<Running> {
  const broker = createBroker({ ...world.options, identity: certificate });
  const port = await broker.listen(0, '127.0.0.1');
  const client = new TestBrokerClient(port, certificate.ca);
  cleanUps.push(() => broker.close());
  cleanUps.push(() => client[Symbol.dispose]());
  return { world, broker, port, client };
}

function worldWithKey(): BrokerWorld {
  const world = brokerWorld();
  world.keyStore.set(alice, { Authorization: key });
  world.sources.userKeys.put(userKeyOf(alice));
  return world;
}

describe('a lease over TLS', () => {
  test('keeps to the contract and carries the key', async () => {
    const { client } = await start(worldWithKey());
    const answer = parseLeaseResponse(await client.lease(github, 'token-of-alice', podToken));
    expect(answer).toMatchObject({ decision: 'granted', headers: [{ name: 'Authorization', value: `Bearer ${key}` }] });
  });

  test('is not to be stored by anybody on the way', async () => {
    const { client } = await start(worldWithKey());
    const body = { server: github, credential: 'token-of-alice' };
    const { headers } = await client.call('/v1/leases', { token: podToken, body });
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'content-type': 'application/json' });
  });

  test('leaves every opened key zeroed', async () => {
    const { client, world } = await start(worldWithKey());
    await client.lease(github, 'token-of-alice', podToken);
    expect(world.keyStore.opened).toHaveLength(1);
    expect(() => world.keyStore.opened[0]?.bytes).toThrow('zeroed');
  });

  test('says which key is missing', async () => {
    const { client } = await start();
    const answer = parseLeaseResponse(await client.lease(github, 'token-of-bob', podToken));
    expect(answer).toMatchObject({ decision: 'missing', subject: bob });
  });

  test.each(['expired-token', 'forged'])('holds nothing but the reason for %s', async (credential) => {
    const { client } = await start(worldWithKey());
    const answer = (await client.lease(github, credential, podToken)) as object;
    expect(Object.keys(answer).toSorted()).toEqual(['decision', 'message', 'reason']);
  });

  test('holds nothing but the reason when the audit log is down', async () => {
    const { client, world } = await start(worldWithKey());
    world.audit.isDown = true;
    const body = { server: github, credential: 'token-of-alice' };
    const { text } = await client.call('/v1/leases', { token: podToken, body });
    expect(JSON.parse(text)).toMatchObject({ decision: 'denied', reason: 'AuditUnavailable' });
    expect(text).not.toContain('ghp_');
    expect(text).not.toContain('headers');
  });

  test('is refused to a pod of another server, with a body that names no user and no key', async () => {
    const world = worldWithKey();
    world.sources.pods.put(podOf({ namespace: 'team-a', name: 'jira' }, 'jira-0'));
    const { client } = await start(world);
    const body = { server: github, credential: 'token-of-alice' };
    const { status, text } = await client.call('/v1/leases', { token: 'pod:team-a/jira-0', body });
    expect(status).toBe(403);
    expect(JSON.parse(text)).toEqual({
      error: { code: 'ERR_POD_FORBIDDEN', message: 'The pod may not act for this server' },
    });
  });

  test('is counted without naming anybody', async () => {
    const { client, world } = await start(worldWithKey());
    await client.lease(github, 'token-of-alice', podToken);
    await client.lease(github, 'token-of-bob', podToken);
    await client.lease(github, 'expired-token', podToken);
    const text = await world.registry.metrics();
    expect(text).toContain('mcpkeyring_key_release_total{result="granted",reason=""} 1');
    expect(text).toContain('mcpkeyring_key_release_total{result="missing",reason=""} 1');
    expect(text).toContain('mcpkeyring_key_release_total{result="unauthenticated",reason="TokenExpired"} 1');
    expect(text).toContain('mcpkeyring_lease_duration_seconds_count 3');
    for (const name of ['alice', 'bob', 'github-0', 'idp.example']) expect(text).not.toContain(name);
  });
});

describe('calls that are no calls of ours', () => {
  const lease = { server: github, credential: 'token-of-alice' };
  const large = JSON.stringify({ ...lease, padding: 'x'.repeat(brokerLimits.leaseBodyBytesMax) });

  test.each([
    ['an unknown path', '/v1/keys', { body: lease }, 404, 'ERR_NOT_FOUND'],
    ['a path that only begins like ours', '/v1/leases/', { body: lease }, 404, 'ERR_NOT_FOUND'],
    ['another method', '/v1/leases', { method: 'PUT', body: lease }, 405, 'ERR_METHOD_NOT_ALLOWED'],
    [
      'another media type',
      '/v1/leases',
      { body: lease, headers: { 'content-type': 'text/plain' } },
      415,
      'ERR_MEDIA_TYPE',
    ],
    [
      'no contract version',
      '/v1/leases',
      { body: lease, headers: { 'mcp-keyring-contract': '' } },
      400,
      'ERR_CONTRACT_VERSION',
    ],
    [
      'a contract version to come',
      '/v1/leases',
      { body: lease, headers: { 'mcp-keyring-contract': '2' } },
      400,
      'ERR_CONTRACT_VERSION',
    ],
    [
      'a contract version of 0',
      '/v1/leases',
      { body: lease, headers: { 'mcp-keyring-contract': '0' } },
      400,
      'ERR_CONTRACT_VERSION',
    ],
    [
      'two contract versions',
      '/v1/leases',
      { body: lease, headers: { 'mcp-keyring-contract': '1, 1' } },
      400,
      'ERR_CONTRACT_VERSION',
    ],
    ['no JSON', '/v1/leases', { body: '{"credential": "token-of-alice", ' }, 400, 'ERR_BODY_INVALID'],
    ['no server', '/v1/leases', { body: { credential: 'token-of-alice' } }, 400, 'ERR_BODY_INVALID'],
    [
      'a server with a path in its name',
      '/v1/leases',
      { body: { ...lease, server: { namespace: 'a', name: '../b' } } },
      400,
      'ERR_BODY_INVALID',
    ],
    [
      'a credential that is no text',
      '/v1/leases',
      { body: { ...lease, credential: { $ne: '' } } },
      400,
      'ERR_BODY_INVALID',
    ],
    ['too much', '/v1/leases', { body: large }, 413, 'ERR_BODY_TOO_LARGE'],
    [
      'too much without saying so',
      '/v1/leases',
      { body: large, headers: { 'transfer-encoding': 'chunked' } },
      413,
      'ERR_BODY_TOO_LARGE',
    ],
    ['no pod token', '/v1/leases', { token: undefined, body: lease }, 401, 'ERR_POD_UNAUTHENTICATED'],
    [
      'a pod token in another scheme',
      '/v1/leases',
      { token: undefined, body: lease, headers: { authorization: `Basic ${podToken}` } },
      401,
      'ERR_POD_UNAUTHENTICATED',
    ],
    ['an empty audit batch', '/v1/audit', { body: { events: [] } }, 400, 'ERR_BODY_INVALID'],
    [
      'an audit event of a type of ours',
      '/v1/audit',
      { body: { events: [{ type: 'lease' }] } },
      400,
      'ERR_BODY_INVALID',
    ],
    ['a watch without server', '/v1/watch', { method: 'GET' }, 400, 'ERR_BODY_INVALID'],
    [
      'a watch for a server that is not',
      '/v1/watch?namespace=team-a&name=nothing',
      { method: 'GET' },
      403,
      'ERR_POD_FORBIDDEN',
    ],
  ] as const)('are refused: %s', async (...row) => {
    const [, path, call, status, code] = row;
    const { client, world } = await start(worldWithKey());
    const reply = await client.call(path, { token: podToken, ...call });
    expect([reply.status, JSON.parse(reply.text)]).toMatchObject([status, { error: { code } }]);
    expect(reply.text).not.toContain('token-of-alice');
    expect(world.keyStore.opened).toEqual([]);
  });

  test('are not read at all from who has no pod token', async () => {
    const { client } = await start();
    const { status } = await client.call('/v1/audit', { token: 'nobody', body: large.repeat(200) });
    expect(status).toBe(401);
  });

  test('are refused while as many large ones are under way as memory is set aside for', async () => {
    const { client, world } = await start();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.audit.gate = promise;
    const event = {
      at: '2026-11-24T10:00:00.000Z',
      type: 'request',
      server: github,
      httpMethod: 'POST',
      decision: 'forwarded',
      httpStatus: 200,
      durationMs: 1,
      requestBytes: 1,
      responseBytes: 1,
    };
    const answered: string[] = [];
    const send = async () => {
      const reply = await client.call('/v1/audit', {
        token: podToken,
        body: { events: [{ ...event, id: randomUUID() }] },
      });
      answered.push(reply.text);
      return reply;
    };
    const underWay = Array.from({ length: brokerLimits.auditsInFlightMax + 8 }, send);
    await expect.poll(() => answered.length).toBe(8);
    expect(answered.every((text) => text.includes('ERR_BUSY'))).toBe(true);
    resolve();
    const replies = await Promise.all(underWay);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(brokerLimits.auditsInFlightMax);
    expect(world.audit.events).toHaveLength(brokerLimits.auditsInFlightMax);
    expect((await send()).status).toBe(200);
  });

  test('are refused below TLS 1.3', async () => {
    const { port } = await start();
    const error = await new Promise<Error>((resolve, reject) => {
      const socket = connect({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: certificate.ca,
        maxVersion: 'TLSv1.2',
      });
      socket.on('error', resolve);
      socket.on('secureConnect', () => reject(new Error('it was accepted')));
    });
    expect(error.message).toMatch(/protocol version|handshake/i);
  });
});

describe('a watch stream', () => {
  test('begins with the policy, and tells of a changed key within a second', async () => {
    const { client, world } = await start(worldWithKey());
    const watch = await client.watch(github, podToken);
    const first = await watch.next();
    expect(first).toMatchObject({
      kind: 'snapshot',
      policy: {
        server: github,
        title: 'GitHub',
        headers: [
          { name: 'Authorization', required: true },
          { name: 'X-Client-ID', required: false },
        ],
      },
    });
    const startedAt = performance.now();
    world.keyStore.changed(alice);
    const news = await watch.nextNews();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(news).toMatchObject({ kind: 'invalidate', subjectKey: subjectKeyOf(alice) });
    expect(news?.revision).not.toBe(first?.revision);
    watch.close();
  });

  test('beats every three seconds, with the revision of the last news', async () => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    world.keyStore.changed(alice);
    const news = await watch.nextNews();
    const startedAt = performance.now();
    expect(await watch.next()).toEqual({ kind: 'heartbeat', revision: news?.revision });
    expect(performance.now() - startedAt).toBeLessThan(3_500);
    watch.close();
  });

  test('does not tell of keys of other servers', async () => {
    const world = brokerWorld();
    const jira = { namespace: 'team-a', name: 'jira' };
    world.sources.mcpServers.put(mcpServer(jira));
    const { client } = await start(world);
    const watch = await client.watch(github, podToken);
    await watch.next();
    world.keyStore.changed(bob, jira);
    world.keyStore.changed(alice, github);
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: subjectKeyOf(alice) });
    watch.close();
  });

  test('brings a new snapshot and ends all leases when a policy changes what is asked', async () => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    world.sources.userKeyPolicies.put(policyOf('strict', { keys: { required: ['X-Client-ID'] } }));
    expect(await watch.nextNews()).toMatchObject({
      kind: 'snapshot',
      policy: { headers: [{ required: true }, { name: 'X-Client-ID', required: true }] },
    });
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: 'all' });
    watch.close();
  });

  test('says nothing when a policy changes nothing, or only a status changes', async () => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    world.sources.userKeyPolicies.put(policyOf('same', { keys: { required: ['Authorization'] } }));
    const server = mcpServer();
    world.sources.mcpServers.put({ ...server, status: { url: 'http://github-mcp.team-a.svc/mcp' } });
    world.sources.userKeys.put(userKeyOf(bob));
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: subjectKeyOf(bob) });
    watch.close();
  });

  test.each<[string, (world: BrokerWorld) => void]>([
    [
      'the template of a header changes, which no snapshot shows',
      ({ sources }) => {
        const server = mcpServer(github, { generation: 2 });
        const headers = server.spec.authentication.headers.map((header) => ({ ...header, template: 'token {value}' }));
        sources.mcpServers.put({ ...server, spec: { ...server.spec, authentication: { mode: 'PerUser', headers } } });
      },
    ],
    [
      'an organization changes',
      ({ sources }) =>
        sources.organizations.put({
          apiVersion: 'mcpkeyring.io/v1alpha1',
          kind: 'Organization',
          metadata: { name: 'default', generation: 2 },
          spec: { plan: 'Enterprise', namespaceSelector: {}, identity: { issuers: [] } },
        }),
    ],
    [
      'the namespace gets other labels',
      ({ sources }) =>
        sources.namespaces.put({
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: 'team-a', labels: { organization: 'other' } },
        }),
    ],
  ])('ends all leases when %s', async (_, change) => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    change(world);
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: 'all' });
    watch.close();
  });

  test('ends a lease when its UserKey is being deleted', async () => {
    const { client, world } = await start(worldWithKey());
    const watch = await client.watch(github, podToken);
    await watch.next();
    const userKey = userKeyOf(alice);
    world.sources.userKeys.put({
      ...userKey,
      metadata: { ...userKey.metadata, deletionTimestamp: '2026-11-24T10:00:00Z' },
    });
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: subjectKeyOf(alice) });
    watch.close();
  });

  test('ends with its server, after telling that all leases end', async () => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    world.sources.mcpServers.remove(mcpServer());
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: 'all' });
    expect(await watch.nextNews()).toMatchObject({ kind: 'invalidate', subjectKey: 'all' });
    expect(await watch.nextNews()).toBeUndefined();
  });

  test.each<[string, (world: BrokerWorld) => void]>([
    ['is gone', ({ sources }) => sources.pods.remove(podOf(github, 'github-0'))],
    [
      'says that it is of another server',
      ({ sources }) =>
        sources.pods.put(
          podOf(github, 'github-0', { labels: { 'mcpkeyring.io/injected': 'true', 'mcpkeyring.io/server': 'jira' } }),
        ),
    ],
  ])('ends when its pod %s', async (_, change) => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    await watch.next();
    change(world);
    expect(await watch.nextNews()).toBeUndefined();
  });

  test('is refused to a pod of another server', async () => {
    const world = brokerWorld();
    world.sources.pods.put(podOf({ namespace: 'team-a', name: 'jira' }, 'jira-0'));
    const { client } = await start(world);
    await expect(client.watch(github, 'pod:team-a/jira-0')).rejects.toThrow('403');
  });

  test('is one of few for each pod, and makes room when it closes', async () => {
    const { client, world } = await start();
    const open = [];
    for (let i = 0; i < brokerLimits.streamsPerPodMax.server; i += 1) open.push(await client.watch(github, podToken));
    await expect(client.watch(github, podToken)).rejects.toThrow('429');
    open[0]?.close();
    await expect
      .poll(async () => (await world.registry.metrics()).includes(`mcpkeyring_watch_streams ${open.length - 1}\n`))
      .toBe(true);
    open.push(await client.watch(github, podToken));
    for (const watch of open) watch.close();
  });

  test('is cut when its reader does not read', async () => {
    const { client, world } = await start();
    const watch = await client.watch(github, podToken);
    watch.response.pause();
    watch.response.socket.pause();
    const metrics = (): Promise<string> => world.registry.metrics();
    for (let i = 0; i < 400_000; i += 1) {
      world.keyStore.changed(alice);
      if (i % 5_000 === 0) {
        await new Promise(setImmediate);
        if ((await metrics()).includes('mcpkeyring_watch_streams_ended_total{why="slow"} 1')) break;
      }
    }
    expect(await metrics()).toContain('mcpkeyring_watch_streams_ended_total{why="slow"} 1');
    watch.close();
  });
});

describe('shutting down', () => {
  test('ends streams, lets what is under way finish and refuses what is new', async () => {
    const world = worldWithKey();
    const { client, broker } = await start(world);
    const watch = await client.watch(github, podToken);
    await watch.next();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.audit.gate = promise;
    const underWay = client.lease(github, 'token-of-alice', podToken);
    await expect.poll(() => world.keyStore.opened.length).toBe(1);
    const closed = broker.close();
    expect(broker.isDraining).toBe(true);
    expect(await watch.nextNews()).toBeUndefined();
    resolve();
    expect(await underWay).toMatchObject({ decision: 'granted' });
    client.agent.destroy();
    await closed;
    await expect(client.lease(github, 'token-of-alice', podToken)).rejects.toThrow(/ECONNREFUSED|socket/);
  });
});

test('a client that leaves before its answer loses it, and the key is zeroed', async () => {
  const world = worldWithKey();
  const { client } = await start(world);
  const { promise, resolve } = Promise.withResolvers<void>();
  world.audit.gate = promise;
  const asked = client.lease(github, 'token-of-alice', podToken).catch((error: unknown) => error);
  await expect.poll(() => world.keyStore.opened.length).toBe(1);
  client.agent.destroy();
  await asked;
  resolve();
  await expect
    .poll(async () => world.registry.metrics())
    .toContain('mcpkeyring_key_release_total{result="error",reason="ERR_CLIENT_GONE"} 1');
  expect(() => world.keyStore.opened[0]?.bytes).toThrow('zeroed');
});
