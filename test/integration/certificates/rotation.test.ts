import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { admitPod } from '#operator/admission/admit.ts';
import type { AdmissionMetrics } from '#operator/admission/metrics.ts';
import { AdmissionServer } from '#operator/admission/server.ts';
import { caRenewAtMs, leafRenewAtMs } from '#operator/certificates/decide.ts';
import { issueAuthority, issueLeaf } from '#operator/certificates/issue.ts';
import { CertificateKeeper } from '#operator/certificates/keeper.ts';
import type { CertificateLifetimes } from '#operator/certificates/lifetimes.ts';
import { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import { servingDnsNames } from '#operator/certificates/serving-names.ts';
import { readTlsState } from '#operator/certificates/tls-state.ts';
import type { TlsState } from '#operator/certificates/tls-state.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { callWebhook, podReview, responseIn } from '#test/integration/admission/webhook-client.ts';
import { testWorld, weatherPod } from '#test/unit/admission/pods.ts';
import { FakeCaches, FakeCluster, operatorNamespace, silentMetrics } from '#test/unit/certificates/fake-cluster.ts';

const secondMs = 1_000;

/** Backdated far enough that OpenSSL, which looks at the real clock, finds every certificate valid while ours runs ahead. */
const lifetimes: CertificateLifetimes = {
  caLifeMs: 600 * secondMs,
  leafLifeMs: 90 * secondMs,
  backdateMs: 72 * 3_600 * secondMs,
  publishSettleMs: 10 * secondMs,
};
const dnsNames = servingDnsNames(operatorNamespace);
const rotations = 100;
const body = podReview(weatherPod());
const metrics: AdmissionMetrics = { started: () => undefined, ended: () => undefined, decided: () => undefined };

/** One replica of the operator: caches of its own, a webhook server of its own. */
class Replica implements AsyncDisposable {
  readonly caches: FakeCaches;
  readonly serving: ServingCertificate;
  readonly keeper: CertificateKeeper;
  #server: AdmissionServer | undefined;
  port = 0;

  constructor(cluster: FakeCluster, clock: { nowMs: number }, isLeader: boolean) {
    this.caches = new FakeCaches(cluster);
    const common = { operatorNamespace, log: silentLog, metrics: silentMetrics };
    this.serving = new ServingCertificate({ ...common, secrets: this.caches.secrets });
    this.keeper = new CertificateKeeper({
      ...common,
      secrets: this.caches.secrets,
      webhooks: this.caches.webhooks,
      caConfigMaps: this.caches.caConfigMaps,
      publishesAtHome: false,
      client: cluster.client,
      dnsNames,
      lifetimes,
      isLeader: () => isLeader,
      wallClockMs: () => clock.nowMs,
    });
  }

  async serve(): Promise<void> {
    const identity = await this.serving.ready(AbortSignal.timeout(5_000));
    const admit: ConstructorParameters<typeof AdmissionServer>[0]['admit'] = (request) =>
      admitPod(request, testWorld());
    this.#server = new AdmissionServer({ admit, identity, metrics, log: silentLog, nowMs: () => performance.now() });
    this.serving.attach(this.#server.tls, 'TLSv1.2');
    this.port = await this.#server.listen(0, '127.0.0.1');
  }

  get tls(): AdmissionServer['tls'] {
    if (this.#server === undefined) throw new Error('does not serve');
    return this.#server.tls;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.close();
  }
}

/** API servers and sidecars: each call is a new connection that trusts what is published at that moment, and nothing else. */
class Load {
  readonly failures: string[] = [];
  served = 0;
  readonly #stopping = new AbortController();
  readonly #clients: Promise<void>[];

  constructor(replicas: readonly Replica[], bundles: readonly (() => string)[]) {
    this.#clients = bundles.map((bundle, index) => this.#run(replicas, bundle, index));
  }

  async #run(replicas: readonly Replica[], bundle: () => string, offset: number): Promise<void> {
    for (let turn = offset; !this.#stopping.signal.aborted; turn += 1) {
      const replica = replicas[turn % replicas.length]!;
      try {
        const answer = await callWebhook({ port: replica.port, ca: bundle(), body });
        if (responseIn(answer).patch === undefined) throw new Error(`answered ${answer.status} without a patch`);
      } catch (error) {
        this.failures.push(String(error));
      }
      this.served += 1;
    }
  }

  /** Until every replica has been called under the present state of the world. */
  async more(calls: number): Promise<void> {
    const target = this.served + calls;
    while (this.served < target) await delay(1);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#clients);
  }
}

function stateOf(cluster: FakeCluster): TlsState {
  const reading = readTlsState(cluster.secret.data);
  if (reading.kind !== 'held') throw new Error(`the Secret is ${reading.kind}`);
  return reading.state;
}

describe('certificates of the webhook under load', () => {
  test(`${rotations} rotations of the CA do not fail one admission`, { timeout: 300_000 }, async () => {
    const cluster = new FakeCluster();
    const clock = { nowMs: Date.now() };
    await using leader = new Replica(cluster, clock, true);
    await using follower = new Replica(cluster, clock, false);
    const replicas = [leader, follower];
    const leaves = new Set<string>();

    /** Everybody hears of the present state, the follower last; load goes on in between. */
    async function spread(load?: Load): Promise<void> {
      leader.caches.catchUp();
      await load?.more(2);
      cluster.publishConfigMap(leader.serving.caBundle() ?? '');
      leader.caches.catchUp();
      await load?.more(2);
      follower.caches.catchUp();
    }
    async function reconcile(load?: Load): Promise<void> {
      for (let round = 0; round < 2; round += 1) {
        await leader.keeper.reconcile();
        await spread(load);
        leaves.add(stateOf(cluster).leaf.pem);
      }
    }

    await reconcile();
    await Promise.all(replicas.map((replica) => replica.serve()));
    const fromWebhook = (): string =>
      Buffer.from(cluster.webhook.webhooks?.[0]?.clientConfig.caBundle ?? '', 'base64').toString();
    const fromConfigMap = (): string => cluster.caConfigMap.data?.['ca.crt'] ?? '';
    const load = new Load(replicas, [fromWebhook, fromConfigMap, fromWebhook]);

    const authorities = new Set<string>();
    for (let rotation = 0; rotation < rotations; rotation += 1) {
      const before = stateOf(cluster);
      clock.nowMs = leafRenewAtMs(before.leaf, lifetimes);
      await reconcile(load);
      clock.nowMs = caRenewAtMs(before.active, lifetimes);
      await reconcile(load);
      expect(stateOf(cluster).active.pem).toBe(before.active.pem);
      clock.nowMs += lifetimes.publishSettleMs;
      await reconcile(load);
      expect(stateOf(cluster).active.pem).not.toBe(before.active.pem);
      authorities.add(stateOf(cluster).active.pem);
    }
    await load.stop();

    expect(load.failures).toEqual([]);
    expect(authorities.size).toBe(rotations);
    expect(leaves.size).toBeGreaterThanOrEqual(2 * rotations);
    expect(load.served).toBeGreaterThan(rotations * 8);
    console.log(
      `${rotations} rotations, ${leaves.size} leaves, ${load.served} admissions, ${load.failures.length} failed`,
    );
  });

  test('a leaf that clients were not told of would be noticed', async () => {
    const cluster = new FakeCluster();
    await using replica = new Replica(cluster, { nowMs: Date.now() }, true);
    await replica.keeper.reconcile();
    replica.caches.catchUp();
    await replica.keeper.reconcile();
    await replica.serve();
    const published = Buffer.from(cluster.webhook.webhooks?.[0]?.clientConfig.caBundle ?? '', 'base64').toString();
    const load = new Load([replica], [() => published]);
    await load.more(3);
    expect(load.failures).toEqual([]);

    const authority = await issueAuthority(Date.now(), lifetimes);
    const leaf = await issueLeaf({ authority, dnsNames, nowMs: Date.now(), lifetimes });
    replica.tls.setSecureContext({ cert: leaf.pem, key: leaf.keyPem });
    await load.more(3);
    await load.stop();
    expect(load.failures.length).toBeGreaterThan(0);
  });
});
