/** The proxy of an agent as it is injected, with the real broker, a real OpenID provider and remote servers over TLS. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import { createBroker } from '#operator/broker/broker.ts';
import { createIdentity } from '#operator/identity/create-identity.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';
import { brokerWorld, mcpServer, userKeyOf } from '#test/support/broker-world.ts';
import { startOidcIssuer, testResource, type TestIssuer } from '#test/support/oidc-issuer.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';
import { verifies } from '#test/requirements.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post } from './support/wire.ts';

const linear: ServerRef = { namespace: 'team-b', name: 'linear' };
const slack: ServerRef = { namespace: 'team-b', name: 'slack' };
const jira: ServerRef = { namespace: 'team-b', name: 'jira' };
const podToken = 'pod:team-a/assistant-0';

function agentPod(injected: string): KubeObject {
  const metadata = {
    name: 'assistant-0',
    namespace: 'team-a',
    uid: 'uid-of-assistant-0',
    labels: { 'mcpkeyring.io/agent': 'true', 'mcpkeyring.io/injected': 'true' },
    annotations: { 'mcpkeyring.io/injected-servers': injected },
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}

function remoteServer(ref: ServerRef, port: number): McpServer {
  const server = mcpServer(ref);
  const url = `https://localhost:${port}/mcp`;
  const remote = { url, caBundleRef: { name: 'remote-ca', key: 'ca.crt' }, allowPrivateAddresses: true };
  const headers = [{ name: 'X-Api-Key', template: '{value}', required: true, reveal: 'None' }] as const;
  const authentication = { mode: 'PerUser', headers } as const;
  return { ...server, spec: { ...server.spec, upstream: { remote }, authentication } };
}

function caBundle(ca: string): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'remote-ca', namespace: 'team-b' },
    data: { 'ca.crt': ca },
  };
}

/** Alice and bob have keys at three remote servers of `team-b`; the agent in `team-a` was injected with two of them. */
async function startWorld() {
  const issuer: TestIssuer = await startOidcIssuer({ tokenSeconds: 3_600 });
  const certificate = await makeTestCertificate(['localhost']);
  const upstream = await Upstream.sdk(certificate);
  const recorder = await Upstream.recording(undefined, certificate);
  const world = brokerWorld();
  const claims = { subject: 'sub', groups: 'groups', name: 'email' };
  const trusted = { type: 'OIDC', name: 'idp', issuerURL: issuer.url, audiences: [testResource], claims } as const;
  const organization = {
    kind: 'organization',
    name: 'default',
    issuers: [{ ...trusted, caBundle: issuer.ca }],
  } as const;
  for (const namespace of ['team-a', 'team-b']) world.tenancies.set(namespace, organization);
  world.sources.caBundles.put(caBundle(certificate.ca));
  for (const server of [linear, slack, jira]) {
    world.sources.mcpServers.put(remoteServer(server, server === slack ? recorder.port : upstream.port));
    for (const id of ['alice', 'bob']) {
      const subject: Subject = { issuer: issuer.url, id, name: `${id}@example.com` };
      world.keyStore.set(subject, { 'X-Api-Key': `key-of-${id}` }, { server });
      world.sources.userKeys.put(userKeyOf(subject, server));
    }
  }
  world.sources.agentPods.put(agentPod('team-b/linear,team-b/slack'));
  const time = { monotonicMs: () => performance.now(), now: () => new Date() };
  const identity = createIdentity({ client: world.reviews, ...time });
  const { cert, key, ca } = await makeTestCertificate(['localhost']);
  const broker = createBroker({ ...world.options, ...identity, ...time, identity: { cert, key } });
  const port = await broker.listen(0, '127.0.0.1');
  const start = (servers: readonly ServerRef[]): Promise<SidecarProcess> =>
    SidecarProcess.start({
      broker: { url: `https://localhost:${port}`, ca, pod: { server: linear, token: podToken } },
      upstreamPort: 0,
      serving: ['--mode=egress', ...servers.map(({ namespace, name }) => `--server=${namespace}/${name}`)],
    });
  return {
    ...world,
    issuer,
    recorder,
    start,
    async [Symbol.asyncDispose]() {
      await broker.close();
      await identity.close();
      await issuer[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await recorder[Symbol.asyncDispose]();
    },
  };
}

let world: Awaited<ReturnType<typeof startWorld>>;
let proxy: SidecarProcess;

beforeAll(async () => {
  await buildOnce();
  world = await startWorld();
  proxy = await world.start([linear, slack]);
});

afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

function urlOf({ port }: SidecarProcess, { namespace, name } = linear): string {
  return `http://127.0.0.1:${port}/${namespace}/${name}/mcp`;
}

describe('an agent', () => {
  test(verifies('agents:own-user'), async () => {
    for (const mode of ['legacy', 'auto'] as const) {
      for (const user of ['alice', 'bob']) {
        const client = new Client({ name: 'agent', version: '1' }, { versionNegotiation: { mode } });
        const requestInit = { headers: { authorization: `Bearer ${await world.issuer.token(user)}` } };
        await client.connect(new StreamableHTTPClientTransport(new URL(urlOf(proxy)), { requestInit }));
        const result = await client.callTool({ name: 'whoami' });
        expect(result).toMatchObject({ content: [{ text: expect.stringContaining('authorization=none') }] });
        await client.close();
      }
    }
    const calls = (): unknown[] =>
      world.audit.events.filter((event) => event.type === 'request' && event.tool === 'whoami');
    await eventually(() => calls().length === 4);
    const reportedBy = { name: 'assistant-0', namespace: 'team-a' };
    const [alice] = calls();
    expect(alice).toMatchObject({ server: linear, subject: { id: 'alice' }, decision: 'forwarded', reportedBy });
    for (const user of ['alice', 'bob', 'alice']) {
      const token = await world.issuer.token(user);
      expect((await post(urlOf(proxy, slack), call('search'), { token })).status).toBe(200);
      const headers = world.recorder.received.at(-1)?.headers;
      expect(headers).toMatchObject({ 'x-api-key': `key-of-${user}` });
      expect(headers).not.toHaveProperty('authorization');
    }
    expect(proxy.output).not.toContain('key-of-');
  });

  test(verifies('agents:no-credential'), async () => {
    const opened = world.keyStore.opened.length;
    for (const token of [undefined, podToken, 'forged']) {
      const response = await post(urlOf(proxy), call('whoami'), token === undefined ? {} : { token });
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
    }
    expect(world.keyStore.opened).toHaveLength(opened);
  });

  test(verifies('agents:injected-only'), async () => {
    const token = await world.issuer.token('alice');
    expect((await post(urlOf(proxy, jira), call('whoami'), { token })).status).toBe(404);
    // As if somebody had found a way to give the process more: the broker knows better.
    await using greedy = await world.start([linear, jira]);
    expect((await post(urlOf(greedy), call('whoami'), { token })).status).toBe(200);
    const answer = await post(urlOf(greedy, jira), call('whoami'), { token });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await answer.text()).not.toContain('key-of-');
    const leased = world.audit.events.filter((event) => event.type === 'lease' && event.server?.name === 'jira');
    expect(leased).toEqual([]);
    expect(world.audit.events).toContainEqual(
      expect.objectContaining({ type: 'denied', reason: 'ServerNotInjected', server: jira }),
    );
  });

  test(verifies('agents:moved-away'), async () => {
    const token = await world.issuer.token('alice');
    expect((await post(urlOf(proxy), call('whoami'), { token })).status).toBe(200);
    world.tenancies.set('team-a', { kind: 'none' });
    world.sources.namespaces.put({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'team-a', uid: 'uid-of-team-a', labels: { moved: 'away' } },
    });
    await eventually(async () => (await post(urlOf(proxy), call('whoami'), { token })).status !== 200, 15_000);
    const opened = world.keyStore.opened.length;
    expect((await post(urlOf(proxy), call('whoami'), { token })).status).toBeGreaterThanOrEqual(400);
    expect(world.keyStore.opened).toHaveLength(opened);
  });
});
