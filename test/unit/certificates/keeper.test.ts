import { beforeEach, describe, expect, test } from 'vitest';

import { certificatesIn } from '#operator/certificates/certified-key.ts';
import { CertificateKeeper } from '#operator/certificates/keeper.ts';
import type { CertificateLifetimes } from '#operator/certificates/lifetimes.ts';
import { ServingCertificate } from '#operator/certificates/serving-certificate.ts';
import { readTlsState } from '#operator/certificates/tls-state.ts';
import type { TlsState } from '#operator/certificates/tls-state.ts';
import { silentLog } from '#operator/kube/observers.ts';
import type { Log } from '#operator/kube/observers.ts';

import { FakeCaches, FakeCluster, operatorNamespace, silentMetrics } from './fake-cluster.ts';

const hourMs = 3_600_000;
const lifetimes: CertificateLifetimes = {
  caLifeMs: 300 * hourMs,
  leafLifeMs: 24 * hourMs,
  backdateMs: hourMs,
  publishSettleMs: hourMs,
};
const startMs = Date.UTC(2026, 5, 1);

class Replica {
  isLeader = false;
  readonly warnings: unknown[] = [];
  readonly caches: FakeCaches;
  readonly keeper: CertificateKeeper;
  readonly serving: ServingCertificate;

  constructor(cluster: FakeCluster, clock: { nowMs: number }, publishesAtHome = false) {
    this.caches = new FakeCaches(cluster);
    const log: Log = { ...silentLog, warn: (_message, fields) => void this.warnings.push(fields?.['missing']) };
    const common = { operatorNamespace, log, metrics: silentMetrics };
    this.serving = new ServingCertificate({ ...common, secrets: this.caches.secrets });
    this.keeper = new CertificateKeeper({
      ...common,
      secrets: this.caches.secrets,
      webhooks: this.caches.webhooks,
      caConfigMaps: this.caches.caConfigMaps,
      publishesAtHome,
      client: cluster.client,
      dnsNames: ['broker'],
      lifetimes,
      isLeader: () => this.isLeader,
      wallClockMs: () => clock.nowMs,
    });
  }
}

let cluster: FakeCluster;
let clock: { nowMs: number };
let leader: Replica;
let follower: Replica;

beforeEach(() => {
  cluster = new FakeCluster();
  clock = { nowMs: startMs };
  leader = new Replica(cluster, clock);
  follower = new Replica(cluster, clock);
  leader.isLeader = true;
});

function held(): TlsState {
  const reading = readTlsState(cluster.secret.data);
  if (reading.kind !== 'held') throw new Error(`the Secret is ${reading.kind}`);
  return reading.state;
}

/** The leader looks, everybody hears of it, the Organization controller publishes. */
async function settle(): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await leader.keeper.reconcile();
    for (const replica of [leader, follower]) replica.caches.catchUp();
    cluster.publishConfigMap(leader.serving.caBundle() ?? '');
    for (const replica of [leader, follower]) replica.caches.catchUp();
  }
}

describe('the first certificates', () => {
  test('come from whichever replica is first, leader or not', async () => {
    await follower.keeper.reconcile();
    expect(held().leaf.notAfterMs).toBe(startMs + lifetimes.leafLifeMs);
  });

  test('are published at home too where a gateway needs them, by the leader, once', async () => {
    leader = new Replica(cluster, clock, true);
    await leader.keeper.reconcile();
    expect(cluster.homeConfigMap).toBeUndefined();
    leader.isLeader = true;
    await settle();
    expect(cluster.homeConfigMap?.metadata).toMatchObject({ name: 'mcp-keyring-ca', namespace: operatorNamespace });
    expect(cluster.homeConfigMap?.data).toEqual({ 'ca.crt': leader.serving.caBundle() });
    expect(cluster.writes.filter((write) => write === 'configMap')).toHaveLength(1);
  });

  test('come from one of two replicas that begin together', async () => {
    await Promise.all([leader.keeper.reconcile(), follower.keeper.reconcile()]);
    expect(cluster.writes.filter((write) => write === 'secret')).toHaveLength(1);
    for (const replica of [leader, follower]) replica.caches.catchUp();
    expect(leader.serving.identity).toEqual(follower.serving.identity);
  });

  test('are published in the webhook by the leader only', async () => {
    await follower.keeper.reconcile();
    follower.caches.catchUp();
    await follower.keeper.reconcile();
    expect(cluster.writes).toEqual(['secret']);
    await settle();
    const caBundle = cluster.webhook.webhooks?.[0]?.clientConfig.caBundle ?? '';
    expect(Buffer.from(caBundle, 'base64').toString()).toBe(held().active.pem);
    expect(cluster.webhook.webhooks?.[0]?.clientConfig).toMatchObject({ service: { name: 'mcp-keyring-webhook' } });
  });

  test('are made and published in one go, before the cache shows them', async () => {
    await leader.keeper.reconcile();
    expect(cluster.writes).toEqual(['secret', 'webhook']);
  });

  test('wait until the caches are full', async () => {
    leader.caches.webhooks.hasSynced = false;
    await leader.keeper.reconcile();
    expect(cluster.writes).toEqual([]);
  });
});

describe('a quiet cluster', () => {
  test('is not written to', async () => {
    await settle();
    const writes = cluster.writes.length;
    await settle();
    expect(cluster.writes).toHaveLength(writes);
  });

  test('gets the bundle back into a webhook that lost it', async () => {
    await settle();
    cluster.webhook = { ...cluster.webhook, webhooks: [{ name: 'inject.mcpkeyring.io', clientConfig: {} }] };
    leader.caches.webhooks.store.replaceAll([cluster.webhook]);
    await settle();
    expect(cluster.webhook.webhooks?.[0]?.clientConfig.caBundle).toBeDefined();
  });
});

describe('renewal', () => {
  beforeEach(settle);

  test('of the leaf reaches every server without a restart', async () => {
    const reloaded: string[] = [];
    follower.serving.attach({ setSecureContext: ({ cert }) => void reloaded.push(String(cert)) }, 'TLSv1.3');
    const before = held().leaf.pem;
    clock.nowMs += 17 * hourMs;
    await settle();
    expect(held().leaf.pem).not.toBe(before);
    expect(reloaded).toEqual([before, held().leaf.pem]);
  });

  test('is left to the leader', async () => {
    clock.nowMs += 17 * hourMs;
    await follower.keeper.reconcile();
    expect(cluster.writes).toEqual(['secret', 'webhook']);
  });

  test('of the CA publishes the successor first and signs later', async () => {
    const old = held();
    clock.nowMs = startMs + 201 * hourMs;
    await settle();
    expect(held().staged).toBeDefined();
    expect(held().active.pem).toBe(old.active.pem);
    expect(certificatesIn(leader.serving.caBundle() ?? '')).toEqual([held().staged?.pem, old.active.pem]);
    const successor = held().staged?.pem;
    clock.nowMs += lifetimes.publishSettleMs;
    await settle();
    expect(held().active.pem).toBe(successor);
    expect(certificatesIn(leader.serving.caBundle() ?? '')).toEqual([successor, old.active.pem]);
  });

  test('of the CA waits for a ConfigMap that does not have it', async () => {
    clock.nowMs = startMs + 201 * hourMs;
    await leader.keeper.reconcile();
    leader.caches.catchUp();
    await leader.keeper.reconcile();
    leader.caches.catchUp();
    clock.nowMs += 10 * lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    clock.nowMs += 10 * lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    expect(held().staged).toBeDefined();
    expect(leader.warnings.at(-1)).toEqual(['ConfigMap team-a/mcp-keyring-ca']);
  });

  test('of the CA waits for a webhook whose change was not read back', async () => {
    clock.nowMs = startMs + 201 * hourMs;
    await leader.keeper.reconcile();
    leader.caches.catchUp('secrets');
    cluster.publishConfigMap(leader.serving.caBundle() ?? '');
    leader.caches.catchUp('secrets', 'caConfigMaps');
    clock.nowMs += 10 * lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    clock.nowMs += 10 * lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    expect(held().staged).toBeDefined();
  });

  test('of the CA counts the time anew when a place loses the successor', async () => {
    clock.nowMs = startMs + 201 * hourMs;
    await settle();
    cluster.publishConfigMap('');
    leader.caches.catchUp();
    await leader.keeper.reconcile();
    cluster.publishConfigMap(leader.serving.caBundle() ?? '');
    leader.caches.catchUp();
    clock.nowMs += lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    expect(held().staged).toBeDefined();
    clock.nowMs += lifetimes.publishSettleMs;
    await leader.keeper.reconcile();
    expect(held().staged).toBeUndefined();
  });

  test('of the CA keeps trusting the old one for a whole leaf life', async () => {
    const old = held().active.pem;
    clock.nowMs = startMs + 201 * hourMs;
    await settle();
    clock.nowMs += lifetimes.publishSettleMs;
    await settle();
    clock.nowMs += lifetimes.leafLifeMs;
    await settle();
    expect(certificatesIn(leader.serving.caBundle() ?? '')).toContain(old);
    clock.nowMs += lifetimes.publishSettleMs;
    await settle();
    expect(certificatesIn(leader.serving.caBundle() ?? '')).toEqual([held().active.pem]);
  });

  test('is not undone by a former leader whose cache is behind', async () => {
    follower.isLeader = true;
    clock.nowMs += 17 * hourMs;
    await leader.keeper.reconcile();
    const renewed = held().leaf.pem;
    await follower.keeper.reconcile();
    expect(held().leaf.pem).toBe(renewed);
  });
});

describe('a Secret that somebody broke', () => {
  beforeEach(settle);

  test('leaves the running servers on what they have', async () => {
    const identity = follower.serving.identity;
    cluster.secret = { ...cluster.secret, data: { 'tls.crt': 'AAAA' } };
    cluster.secret = { ...cluster.secret, metadata: { ...cluster.secret.metadata, resourceVersion: '99' } };
    follower.caches.catchUp();
    expect(follower.serving.identity).toEqual(identity);
    await follower.keeper.reconcile();
    expect(cluster.secret.data).toEqual({ 'tls.crt': 'AAAA' });
  });

  test('is made anew by the leader', async () => {
    cluster.secret = { ...cluster.secret, data: { 'tls.crt': 'AAAA' } };
    cluster.secret = { ...cluster.secret, metadata: { ...cluster.secret.metadata, resourceVersion: '99' } };
    leader.caches.catchUp();
    await leader.keeper.reconcile();
    expect(held().leaf.notAfterMs).toBe(startMs + lifetimes.leafLifeMs);
  });
});

describe('a serving certificate', () => {
  test('is waited for, and the wait can be given up', async () => {
    await expect(follower.serving.ready(AbortSignal.abort(new Error('no more')))).rejects.toThrow('no more');
    const ready = follower.serving.ready(new AbortController().signal);
    await settle();
    expect((await ready).cert.toString()).toBe(held().leaf.pem);
  });

  test('is valid until it ends', async () => {
    expect(follower.serving.isValidAt(startMs)).toBe(false);
    await settle();
    expect(follower.serving.isValidAt(startMs + lifetimes.leafLifeMs - 1)).toBe(true);
    expect(follower.serving.isValidAt(startMs + lifetimes.leafLifeMs)).toBe(false);
  });

  test('tells of each new bundle, and of the present one at once', async () => {
    const bundles: string[] = [];
    follower.serving.onBundleChange((bundle) => bundles.push(bundle));
    await settle();
    follower.serving.onBundleChange((bundle) => bundles.push(bundle));
    expect(bundles).toEqual([held().active.pem, held().active.pem]);
  });
});
