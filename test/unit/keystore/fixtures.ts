import { createSecretKey } from 'node:crypto';

import { systemRandomness } from '#operator/envelope/randomness.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';
import { LocalKekStore, kekSecretName } from '#operator/keystore/kek-store.ts';
import type { KeyAddress, KeyHeader } from '#operator/keystore/key-store.ts';
import { SealedKeyStore } from '#operator/keystore/sealed-key-store.ts';

import { FakeCluster, type FakeInformer } from './fake-cluster.ts';

export const now = new Date('2026-11-24T10:00:00.000Z');
/** Version of a key that is sealed at `now`, the first of its life. */
export const firstVersion = now.getTime();

export const operatorNamespace = 'mcp-keyring';
export const keyNamespace = 'mcp-keyring-keys';

export const address: KeyAddress = {
  organization: 'default',
  server: { namespace: 'team-a', name: 'github' },
  serverUid: 'server-uid',
  subject: { issuer: 'https://idp.example.com', id: 'alice', name: 'Alice' },
};

export function headers(fields: Readonly<Record<string, string>>): readonly KeyHeader[] {
  return Object.entries(fields).map(([name, value]) => ({ name, value: SecretBytes.takeFrom(Buffer.from(value)) }));
}

export function textOf(list: readonly KeyHeader[] | undefined): Readonly<Record<string, string>> | undefined {
  return list && Object.fromEntries(list.map(({ name, value }) => [name, value.bytes.toString()]));
}

export function emptySecret(name: string): Secret {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace: operatorNamespace, name }, type: 'Opaque' };
}

export interface TestStore {
  readonly cluster: FakeCluster;
  readonly informer: FakeInformer;
  readonly keks: LocalKekStore;
  readonly store: SealedKeyStore;
  /** What time it is for the store. */
  readonly clock: { now: Date };
  storeOf(change: Partial<ConstructorParameters<typeof SealedKeyStore>[0]>): SealedKeyStore;
}

export async function openKeks(cluster: FakeCluster, hasSealedKeys = false): Promise<LocalKekStore> {
  return LocalKekStore.open({
    client: cluster.client,
    namespace: operatorNamespace,
    hasSealedKeys: () => Promise.resolve(hasSealedKeys),
    randomness: systemRandomness,
    monotonicMs: () => performance.now(),
    log: silentLog,
  });
}

export async function testStore(): Promise<TestStore> {
  const cluster = new FakeCluster();
  cluster.put(secrets, emptySecret(kekSecretName));
  const informer = cluster.informer(secrets);
  const keks = await openKeks(cluster);
  const clock = { now };
  const options = {
    client: cluster.client,
    informer,
    view: { assure: () => Promise.resolve() },
    keyNamespace,
    clusterUid: 'cluster-uid',
    indexKey: createSecretKey(Buffer.alloc(32, 1)),
    keks,
    randomness: systemRandomness,
    now: () => clock.now,
  };
  const storeOf: TestStore['storeOf'] = (change) => new SealedKeyStore({ ...options, ...change });
  return { cluster, informer, keks, store: storeOf({}), clock, storeOf };
}
