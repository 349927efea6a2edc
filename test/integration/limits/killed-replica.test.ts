import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { parseQuotaResponse } from '#contract/parse-quota.ts';
import { type Broker, createBroker } from '#operator/broker/broker.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { ClusterLimitStore } from '#operator/limits/cluster-limit-store.ts';
import { verifies } from '#test/requirements.ts';
import { TestBrokerClient } from '#test/support/broker-client.ts';
import { brokerWorld, github, podOf, policyOf, type BrokerWorld } from '#test/support/broker-world.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { makeTestCertificate, type TestCertificate } from '#test/support/test-certificates.ts';

const keyNamespace = 'mcp-keyring-keys';
const max = 400;
let plane: ControlPlane;
let certificate: TestCertificate;
const transports: Transport[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.kubectl(['create', 'namespace', keyNamespace]);
  certificate = await makeTestCertificate(['localhost']);
}, 120_000);

afterAll(async () => {
  for (const transport of transports) await transport.close();
  await plane[Symbol.asyncDispose]();
});

interface Replica {
  readonly broker: Broker;
  readonly client: TestBrokerClient;
}

/** Each with a connection to the API server and a memory of its own. */
async function replicaOf(world: BrokerWorld): Promise<Replica> {
  const transport = createTransport({ source: plane.source, userAgent: 'test', log: silentLog });
  transports.push(transport);
  const limits = new ClusterLimitStore({
    client: createKubeClient({ transport }),
    keyNamespace,
    clock: systemClock,
    nowUnixMs: Date.now,
    random: Math.random,
  });
  const time = { registry: new Registry(), limits, now: () => new Date() };
  const broker = createBroker({ ...world.options, ...time, identity: certificate });
  const port = await broker.listen(0, '127.0.0.1');
  return { broker, client: new TestBrokerClient(port, certificate.ca) };
}

/** How many were granted; undefined where there was no answer. */
async function ask({ client }: Replica, pod: number): Promise<number | undefined> {
  const body = { server: github, subjectKey: 'alice', buckets: [{ bucket: 'limits/Day', wanted: 3 }] };
  try {
    const { status, text } = await client.call('/v1/quota', { token: `pod:team-a/github-${pod}`, body });
    if (status !== 200) return undefined;
    const answer = parseQuotaResponse(JSON.parse(text));
    return answer.kind === 'granted' ? (answer.blocks[0]?.granted ?? 0) : 0;
  } catch {
    return undefined;
  }
}

test(
  verifies('limits:killed-replica'),
  async () => {
    const world = brokerWorld();
    world.sources.pods.put(podOf(github, 'github-0'));
    world.sources.pods.put(podOf(github, 'github-1'));
    world.sources.userKeyPolicies.put(policyOf('limits', { limits: { requests: [{ per: 'Day', max }] } }));
    const [killed, left] = [await replicaOf(world), await replicaOf(world)];
    let granted = 0;
    const sidecar = async (replica: Replica, pod: number): Promise<void> => {
      for (let count = 0; count < 12; count += 1) {
        const answer = await ask(replica, pod);
        granted += answer ?? 0;
      }
    };
    const load = [
      ...Array.from({ length: 6 }, () => sidecar(killed, 0)),
      ...Array.from({ length: 6 }, () => sidecar(left, 1)),
    ];
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Its answers under way are lost, counted or not.
    killed.broker.tls.closeAllConnections();
    await killed.broker.close();
    await Promise.all(load);
    expect(granted).toBeGreaterThan(0);
    // Another one takes its place, and the two go on to the end.
    const next = await replicaOf(world);
    for (const replica of [left, next]) {
      for (let answer = await ask(replica, 1); answer !== 0; answer = await ask(replica, 1)) granted += answer ?? 0;
    }
    expect(granted).toBeLessThanOrEqual(max);
    // Lost is at most what the six of the killed one had asked for at that moment.
    expect(granted).toBeGreaterThanOrEqual(max - 6 * 3);
    for (const { broker, client } of [left, next]) {
      client[Symbol.dispose]();
      await broker.close();
    }
    killed.client[Symbol.dispose]();
  },
  60_000,
);
