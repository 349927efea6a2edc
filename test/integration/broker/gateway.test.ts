/** What the broker tells and gives a gateway. */
import { afterEach, describe, expect, test } from 'vitest';

import type { ServerRef } from '#contract/lease.ts';
import type { WatchMessage } from '#contract/watch.ts';
import { createBroker } from '#operator/broker/broker.ts';
import { TestBrokerClient } from '#test/support/broker-client.ts';
import { alice, brokerWorld, github, mcpServer, userKeyOf, type BrokerWorld } from '#test/support/broker-world.ts';
import { verifies } from '#test/requirements.ts';
import { makeTestCertificate } from '#test/support/test-certificates.ts';

const wiki: ServerRef = { namespace: 'team-a', name: 'wiki' };
const gatewayToken = 'pod:mcp-keyring/gateway-0';
const open: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

function putRemote(
  { sources }: BrokerWorld,
  remote: { url?: string; caBundleRef?: { name: string; key: string } } = {},
) {
  const server = mcpServer(wiki);
  const upstream = { remote: { url: 'https://wiki.example/mcp', allowPrivateAddresses: false, ...remote } };
  sources.mcpServers.put({
    ...server,
    metadata: { ...server.metadata, generation: (server.metadata.generation ?? 0) + open.length },
    spec: { ...server.spec, upstream },
  });
}

function putGateway({ sources }: BrokerWorld, namespace = 'mcp-keyring') {
  sources.gatewayPods.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'gateway-0', namespace, uid: 'uid-of-gateway-0', labels: { 'mcpkeyring.io/gateway': 'true' } },
  });
}

/** A broker, a remote server `wiki` for which alice has a key, `github` in the cluster, and a gateway. */
async function start(): Promise<{ client: TestBrokerClient; world: BrokerWorld }> {
  const world = brokerWorld();
  putRemote(world);
  putGateway(world);
  for (const server of [wiki, github]) {
    world.keyStore.set(alice, { Authorization: 'key-of-alice' }, { server });
    world.sources.userKeys.put(userKeyOf(alice, server));
  }
  const { cert, key, ca } = await makeTestCertificate(['localhost']);
  const keyPage = { url: 'https://keys.example/', stateKey: 'a'.repeat(43) };
  const broker = createBroker({ ...world.options, keyPageOf: () => keyPage, identity: { cert, key } });
  const client = new TestBrokerClient(await broker.listen(0, '127.0.0.1'), ca);
  open.push(
    () => broker.close(),
    () => client[Symbol.dispose](),
  );
  return { client, world };
}

async function policyOf(client: TestBrokerClient, server: ServerRef) {
  const watch = await client.watch(server, gatewayToken);
  open.push(() => watch.close());
  return { watch, policy: policyIn(await watch.nextNews()) };
}

function policyIn(message: WatchMessage | undefined) {
  if (message?.kind !== 'snapshot') throw new Error(`no snapshot but ${message?.kind}`);
  return message.policy;
}

describe('a gateway', () => {
  test('is told where every server is, and who its users log in at', async () => {
    const { client } = await start();
    expect((await policyOf(client, wiki)).policy).toMatchObject({
      upstream: { kind: 'remote', url: 'https://wiki.example/mcp', allowPrivateAddresses: false },
      issuers: [alice.issuer],
    });
    expect((await policyOf(client, github)).policy).toMatchObject({
      upstream: { kind: 'cluster', url: 'http://github-mcp.team-a.svc.cluster.local/mcp' },
    });
  });

  test(verifies('policy:secrets-by-role'), async () => {
    const { client } = await start();
    const known = Object.keys((await policyOf(client, wiki)).policy);
    expect(known).toEqual(expect.arrayContaining(['keyPage', 'sessionKey']));
    const ofCluster = Object.keys((await policyOf(client, github)).policy);
    expect(ofCluster).not.toContain('keyPage');
    expect(ofCluster).not.toContain('sessionKey');
    const sidecar = await client.watch(github, 'pod:team-a/github-0');
    open.push(() => sidecar.close());
    expect(policyIn(await sidecar.nextNews())).toHaveProperty('sessionKey');
  });

  test('gets the key of a user who shows a token, for a remote server, and none for a server in the cluster', async () => {
    const { client, world } = await start();
    expect(await client.lease(wiki, 'token-of-alice', gatewayToken)).toMatchObject({ decision: 'granted' });
    expect(world.audit.events).toMatchObject([
      { type: 'lease', server: wiki, pod: { name: 'gateway-0', namespace: 'mcp-keyring' } },
    ]);
    await expect(client.lease(github, 'token-of-alice', gatewayToken)).rejects.toThrow(/^403 /);
    expect(await client.lease(wiki, 'forged', gatewayToken)).toMatchObject({ decision: 'unauthenticated' });
  });

  test('hears at once that a server has moved, and that its certificates have come or gone', async () => {
    const { client, world } = await start();
    const { watch } = await policyOf(client, wiki);
    const next = async () => {
      for (;;) {
        const message = await watch.nextNews();
        if (message?.kind === 'snapshot') return message.policy;
      }
    };
    putRemote(world, { url: 'https://elsewhere.example/mcp', caBundleRef: { name: 'wiki-ca', key: 'ca.crt' } });
    expect((await next()).upstream).toBeUndefined();
    const bundle = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'wiki-ca', namespace: wiki.namespace },
      data: { 'ca.crt': 'PEM' },
    };
    world.sources.caBundles.put(bundle);
    expect((await next()).upstream).toMatchObject({ url: 'https://elsewhere.example/mcp', ca: 'PEM' });
    world.sources.caBundles.remove(bundle);
    expect((await next()).upstream).toBeUndefined();
  });

  test('may follow more servers than a sidecar has streams', async () => {
    const { client } = await start();
    for (let stream = 0; stream < 20; stream += 1) {
      const server = stream % 2 === 0 ? wiki : github;
      expect((await policyOf(client, server)).policy.server).toEqual(server);
    }
  });

  test('loses its streams when its pod is gone', async () => {
    const { client, world } = await start();
    const { watch } = await policyOf(client, wiki);
    const [pod] = world.sources.gatewayPods.store.list();
    if (pod !== undefined) world.sources.gatewayPods.remove(pod);
    expect(await watch.nextNews()).toBeUndefined();
    await expect(client.lease(wiki, 'token-of-alice', gatewayToken)).rejects.toThrow(/^403 /);
  });

  test('is none outside the namespace of the operator', async () => {
    const { client, world } = await start();
    putGateway(world, 'team-a');
    await expect(client.lease(wiki, 'token-of-alice', 'pod:team-a/gateway-0')).rejects.toThrow(/^403 /);
  });
});
