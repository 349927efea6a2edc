import { createSecretKey } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import { type IntakePublicKey, sealUserKeyRequest } from '#cli/contract/user-key-request.ts';
import { intakeConfigMapName, userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import { decideOpening } from '#operator/broker/lease.ts';
import { effectivePolicy } from '#operator/policy/effective-policy.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { type Intake, startIntake } from '#operator/intake/start.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { mcpServers, userKeyPolicies, userKeyRequests, userKeys } from '#operator/kube/keyring-resources.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { configMaps, secrets } from '#operator/kube/resources.ts';
import { AccessReviews } from '#operator/rights/access-reviews.ts';
import { startControlPlane, type ControlPlane } from '#test/support/control-plane.ts';

import { installKeyPlaces, keyNamespace, operatorNamespace, Replica } from '../keystore/cluster.ts';

const namespace = 'team-a';
const username = 'kubernetes-admin';
/** Of the administrator of the cluster, who may everything. */
const groups = ['system:masters'];
const alice = { issuer: 'kubernetes', id: username, name: username };

let plane: ControlPlane;
let replica: Replica;
let intake: Intake;
let servers: Informer<McpServer>;
let requests: Informer<UserKeyRequest>;
const audited: AuditEvent[] = [];
/** What somebody else does just before and just after intake writes a sealed key. */
let interrupt: () => Promise<void> = () => Promise.resolve();

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  await installKeyPlaces(plane);
  await plane.kubectl(['create', 'namespace', namespace]);
  replica = await Replica.start(plane);
  servers = await replica.informerOf(mcpServers);
  requests = await replica.informerOf(userKeyRequests);
  intake = await start(() => new Date());
  await vi.waitFor(async () => {
    const published = await replica.client.get(configMaps, { namespace: operatorNamespace, name: intakeConfigMapName });
    if (published === undefined) throw new Error('no intake key is published yet');
  });
});

afterAll(async () => {
  await intake?.stop();
  await replica?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

async function start(now: () => Date): Promise<Intake> {
  return startIntake({
    client: replica.client,
    operatorNamespace,
    randomness: systemRandomness,
    sources: {
      mcpServers: servers.store,
      userKeyPolicies: (await replica.informerOf(userKeyPolicies)).store,
      userKeys: (await replica.informerOf(userKeys)).store,
    },
    requestInformer: requests,
    tenancy: {
      organizationOf: () => ({
        kind: 'organization',
        name: 'default',
        issuers: [{ type: 'Kubernetes', name: 'cluster', audiences: [] }],
      }),
    },
    identifier: { identify: () => Promise.reject(new Error('not asked here')) },
    rights: new AccessReviews(replica.client),
    keyStore: interrupted(replica.store),
    trials: { try: () => Promise.resolve(undefined), record: () => Promise.reject(new Error('nothing was tried')) },
    fingerprintKeyOf: () => createSecretKey(Buffer.alloc(32, 7)),
    tokenOrders: { carryOut: () => Promise.reject(new Error('no access tokens here')) },
    audit: {
      append: (event) => {
        audited.push(event);
        return Promise.resolve();
      },
    },
    now,
    log: silentLog,
  });
}

function interrupted(store: KeyStore): KeyStore {
  return {
    subjectKeyOf: (subject) => store.subjectKeyOf(subject),
    userKeyNameOf: (address) => store.userKeyNameOf(address),
    find: (address) => store.find(address),
    open: (address, versionMin) => store.open(address, versionMin),
    destroy: (address, options) => store.destroy(address, options),
    onChange: (handler) => store.onChange(handler),
    put: async (...args) => {
      await interrupt();
      const stored = await store.put(...args);
      await interrupt();
      return stored;
    },
  };
}

async function makeServer(name: string, uidOf?: (uid: string) => void): Promise<McpServer> {
  const manifest = {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { namespace, name },
    spec: {
      upstream: { workload: { port: 8080 } },
      authentication: {
        headers: [{ name: 'Authorization', template: 'Bearer {value}', format: { prefixes: ['ghp_'] } }],
      },
    },
  };
  await plane.kubectl(['apply', '-f', '-'], JSON.stringify(manifest));
  await expect.poll(() => servers.store.get(namespace, name)).toBeDefined();
  const server = servers.store.get(namespace, name)!;
  uidOf?.(server.metadata.uid ?? '');
  return server;
}

/** As `kubectl mcpkeys` does it: seal to the published key, create, wait, open the answer. */
async function ask(
  control: UserKeyControl,
  value?: string,
): Promise<{ response: UserKeyResponse; request: UserKeyRequest }> {
  const configMap = await replica.client.get(configMaps, { namespace: operatorNamespace, name: intakeConfigMapName });
  const recipient = configMap?.data as unknown as IntakePublicKey;
  const headers = value === undefined ? [] : [{ name: 'Authorization', value: Buffer.from(value) }];
  const { openResponse, ...sealed } = sealUserKeyRequest(recipient, { namespace, username }, { control, headers });
  const created = await replica.client.create(userKeyRequests, {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKeyRequest',
    metadata: { namespace, generateName: 'ukr-' },
    spec: { requester: { username, groups }, ...sealed },
  });
  const { name } = created.metadata;
  const answer = () => requests.store.get(namespace, name)?.status?.sealedResponse;
  await expect.poll(answer, { timeout: 10_000 }).toBeDefined();
  return { response: openResponse(answer() ?? ''), request: created };
}

function versionIn(response: UserKeyResponse): number {
  const key = response.outcome === 'ok' && response.operation === 'set' ? response.key : undefined;
  expect(key).toMatchObject({ state: 'Configured', version: expect.any(Number) as number });
  return key?.version ?? 0;
}

const set = (server: string) => ({ v: 1, operation: 'set', server }) as const;

describe('a user with kubectl', () => {
  test('sets a key, sees it, sets it anew and deletes it', async () => {
    const server = await makeServer('github');
    const address = {
      organization: 'default',
      server: { namespace, name: 'github' },
      serverUid: server.metadata.uid ?? '',
      subject: alice,
    };
    const setAtMs = Date.now();
    const first = versionIn((await ask(set('github'), 'Bearer ghp_first')).response);
    expect(first).toBeGreaterThanOrEqual(setAtMs);
    const userKey = await replica.client.get(userKeys, { namespace, name: replica.store.userKeyNameOf(address) });
    expect(userKey).toMatchObject({
      metadata: { finalizers: [userKeyFinalizer], ownerReferences: [{ kind: 'McpServer', uid: server.metadata.uid }] },
      spec: { serverRef: { name: 'github' }, subject: alice },
      status: { version: first },
    });
    const second = versionIn((await ask(set('github'), 'ghp_second')).response);
    expect(second).toBeGreaterThan(first);
    using opened = await replica.store.open(address, second);
    expect(opened?.headers[0]?.value.bytes.equals(Buffer.from('ghp_second'))).toBe(true);
    expect((await ask({ v: 1, operation: 'list' })).response).toMatchObject({
      keys: [{ server: 'github', state: 'Configured', version: second }],
    });
    const [, columns] = (await plane.kubectl(['get', 'uk', '-n', namespace, '-o', 'wide'])).split('\n');
    expect(columns?.split(/\s+/)).toContain(String(second));
    expect((await ask({ v: 1, operation: 'delete', server: 'github' })).response).toMatchObject({ deleted: true });
    expect(await replica.store.open(address, 0)).toBeUndefined();
    const deleted = await replica.client.get(userKeys, { namespace, name: replica.store.userKeyNameOf(address) });
    expect(deleted?.metadata.deletionTimestamp).toBeDefined();
    expect(audited.map(({ type }) => type)).toEqual(['key.set', 'key.set', 'key.delete']);
  });

  test('never has a key back that they have deleted, whoever puts its Secret back and whenever', async () => {
    const server = await makeServer('mail');
    const serverUid = server.metadata.uid ?? '';
    const address = { organization: 'default', server: { namespace, name: 'mail' }, serverUid, subject: alice };
    const ref = { namespace, name: replica.store.userKeyNameOf(address) };
    await ask(set('mail'), 'ghp_leaked');
    const leaked = (await replica.client.list(secrets, { namespace: keyNamespace })).find(({ metadata }) =>
      metadata.name.endsWith(ref.name),
    );
    const putBack = async () => {
      const { uid: _, resourceVersion: __, ...metadata } = leaked!.metadata;
      await replica.store.destroy(address);
      await replica.client.create(secrets, { ...leaked!, metadata });
    };
    const handedOut = async () => {
      const opening = decideOpening({
        userKey: await replica.client.get(userKeys, ref),
        server,
        subject: alice,
        policy: effectivePolicy(server, [], { subject: alice, groups: [] }),
        nowMs: Date.now(),
      });
      if (opening.kind !== 'open') return opening.kind;
      try {
        using opened = await replica.store.open(address, opening.versionMin);
        return opened?.headers[0]?.value.bytes.toString();
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(await handedOut()).toBe('ghp_leaked');
    await ask({ v: 1, operation: 'delete', server: 'mail' });
    await replica.client.mergePatch(userKeys, ref, { metadata: { finalizers: [] } });
    await putBack();
    expect(await handedOut()).toBe('nothingStored');

    const moments: unknown[] = [];
    interrupt = async () => {
      moments.push(await handedOut());
      await putBack();
      moments.push(await handedOut());
    };
    expect((await ask(set('mail'), 'ghp_fresh')).response).toMatchObject({ outcome: 'ok' });
    interrupt = () => Promise.resolve();
    expect(moments).toHaveLength(4);
    expect(new Set(moments)).toEqual(new Set(['nothingStored']));
    await expect.poll(handedOut).toBe('RolledBack');

    expect((await ask(set('mail'), 'ghp_again')).response).toMatchObject({ outcome: 'ok' });
    await expect.poll(handedOut).toBe('ghp_again');
    await putBack();
    await expect.poll(handedOut).toBe('RolledBack');
  });

  test('waits with a new key until the UserKey before is gone, so that it is not destroyed with it', async () => {
    await makeServer('wiki');
    await ask(set('wiki'), 'ghp_a');
    await ask({ v: 1, operation: 'delete', server: 'wiki' });
    const [terminating] = await replica.client.list(userKeys, {
      namespace,
      labelSelector: 'mcpkeyring.io/server=wiki',
    });
    const answer = ask(set('wiki'), 'ghp_b');
    await new Promise((done) => setTimeout(done, 1_500));
    const ref = { namespace, name: terminating!.metadata.name };
    expect((await replica.client.get(userKeys, ref))?.metadata.uid).toBe(terminating!.metadata.uid);
    await replica.client.mergePatch(userKeys, ref, { metadata: { finalizers: [] } });
    expect((await answer).response).toMatchObject({ outcome: 'ok', key: { state: 'Configured' } });
    expect((await replica.client.get(userKeys, ref))?.metadata.uid).not.toBe(terminating!.metadata.uid);
  });

  test('finds no trace of the value in what the API server keeps', async () => {
    await makeServer('notes');
    const { request } = await ask(set('notes'), 'ghp_needle_of_this_test');
    const kept = await plane.kubectl(['get', 'userkeyrequests,userkeys,secrets,configmaps', '-A', '-o', 'json']);
    expect(kept).toContain(request.metadata.name);
    expect(kept).not.toContain('ghp_needle');
    expect(kept).not.toContain(Buffer.from('ghp_needle_of_this_te').toString('base64'));
  });

  test('is told what is wrong', async () => {
    await makeServer('tracker');
    expect((await ask(set('traker'), 'ghp_a')).response).toMatchObject({
      code: 'ServerNotFound',
      suggestions: ['tracker'],
    });
    expect((await ask(set('tracker'), 'sk_a')).response).toMatchObject({ code: 'InvalidFormat' });
  });

  test('has their answered requests removed', async () => {
    const { request } = await ask({ v: 1, operation: 'list' });
    await intake.stop();
    intake = await start(() => new Date(Date.now() + 61_000));
    await expect.poll(() => requests.store.get(namespace, request.metadata.name), { timeout: 10_000 }).toBeUndefined();
  });
});

describe('a new leader', () => {
  test('opens requests that were sealed for the one before', async () => {
    await intake.stop();
    const asked = ask({ v: 1, operation: 'list' });
    await new Promise((done) => setTimeout(done, 500));
    intake = await start(() => new Date());
    expect((await asked).response).toMatchObject({ outcome: 'ok' });
  });
});
