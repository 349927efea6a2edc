import { type KeyObject, randomUUID } from 'node:crypto';

import type { ServerRef } from '#contract/lease.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { namespaces, secrets } from '#operator/kube/resources.ts';
import { openIndexKey } from '#operator/keystore/index-key.ts';
import { FreshView } from '#operator/keystore/fresh-view.ts';
import { LocalKekStore } from '#operator/keystore/kek-store.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import { SealedKeyStore } from '#operator/keystore/sealed-key-store.ts';
import { sealedSecretSelector } from '#operator/keystore/sealed-secret.ts';
import { fingerprintKeyOf, receiptKeyOf, sessionKeyOf, stateKeyOf } from '#operator/keystore/state-key.ts';
import { ProbeCredentials } from '#operator/validation/probe-credential.ts';

import type { Informers } from './informers.ts';
import type { Platform } from './platform.ts';

export interface Keys {
  readonly keyStore: KeyStore;
  readonly keks: LocalKekStore;
  /** With which the leader tries keys at servers of the cluster, and every replica lets it. */
  readonly probeCredentials: ProbeCredentials;
  /** `KeyPage.stateKey` of a server. */
  readonly stateKeyOf: (server: ServerRef, serverUid: string) => string;
  /** `PolicySnapshot.sessionKey` of a server. */
  readonly sessionKeyOf: (server: ServerRef, serverUid: string) => string;
  readonly receiptKey: KeyObject;
  /** With which leaked values are found in one organization. */
  readonly fingerprintKeyOf: (organization: string) => KeyObject;
}

/**
 * Loads, or on the very first start makes, what keys are sealed and named with. `writer` is fenced: only the leader stores keys.
 * Rejects when that is not possible; without it nothing that has to do with keys may start.
 */
export async function openKeys(platform: Platform, informers: Informers, writer: KubeClient): Promise<Keys> {
  const { client, clock, log, options } = platform;
  const { namespace, keyNamespace } = options;
  const hasSealedKeys = async (): Promise<boolean> => {
    const where = { namespace: keyNamespace, labelSelector: sealedSecretSelector, metadataOnly: true };
    return (await client.list(secrets, where)).length > 0;
  };
  const randomness = systemRandomness;
  const material = { client, namespace, hasSealedKeys, randomness };
  const keks = await LocalKekStore.open({ ...material, monotonicMs: () => clock.nowMs(), log });
  keks.follow(informers.kekSecret);
  const view = new FreshView({
    client,
    informer: informers.sealedSecrets,
    keyNamespace,
    bootId: randomUUID(),
    clock,
    log,
  });
  const indexKey = await openIndexKey(material);
  const keyStore = new SealedKeyStore({
    client: writer,
    informer: informers.sealedSecrets,
    view,
    keyNamespace,
    clusterUid: await clusterUidOf(client),
    indexKey,
    keks,
    randomness,
    now: () => new Date(),
  });
  const probeCredentials = new ProbeCredentials({ indexKey, randomness, now: () => new Date() });
  return {
    keyStore,
    keks,
    probeCredentials,
    stateKeyOf: (server, serverUid) => stateKeyOf(indexKey, server, serverUid),
    sessionKeyOf: (server, serverUid) => sessionKeyOf(indexKey, server, serverUid),
    receiptKey: receiptKeyOf(indexKey),
    fingerprintKeyOf: (organization) => fingerprintKeyOf(indexKey, organization),
  };
}

/** The identity of a cluster, by convention: sealed keys that are copied to another one do not open there. */
async function clusterUidOf(client: KubeClient): Promise<string> {
  const uid = (await client.get(namespaces, { name: 'kube-system' }))?.metadata.uid;
  if (uid === undefined) throw new Error('namespace kube-system has no uid');
  return uid;
}
