import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { UserKeyResponse } from '#cli/contract/responses.ts';
import { type IntakePublicKey, sealUserKeyRequest } from '#cli/contract/user-key-request.ts';
import { intakeConfigMapName, userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { type Intake, startIntake } from '#operator/intake/start.ts';
import type { Informer } from '#operator/kube/informer.ts';
import { mcpServers, userKeyPolicies, userKeyRequests, userKeys } from '#operator/kube/keyring-resources.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { configMaps } from '#operator/kube/resources.ts';
import { startControlPlane, type ControlPlane } from '#test/support/control-plane.ts';

import { installKeyPlaces, operatorNamespace, Replica } from '../keystore/cluster.ts';

const namespace = 'team-a';
const username = 'kubernetes-admin';
const alice = { issuer: 'kubernetes', id: username, name: username };

let plane: ControlPlane;
let replica: Replica;
let intake: Intake;
let servers: Informer<McpServer>;
let requests: Informer<UserKeyRequest>;
const audited: AuditEvent[] = [];

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
    keyStore: replica.store,
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
    spec: { requester: { username, groups: [] }, ...sealed },
  });
  const { name } = created.metadata;
  const answer = () => requests.store.get(namespace, name)?.status?.sealedResponse;
  await expect.poll(answer, { timeout: 10_000 }).toBeDefined();
  return { response: openResponse(answer() ?? ''), request: created };
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
    expect((await ask(set('github'), 'Bearer ghp_first')).response).toMatchObject({
      outcome: 'ok',
      key: { state: 'Configured', version: 1 },
    });
    const userKey = await replica.client.get(userKeys, { namespace, name: replica.store.userKeyNameOf(address) });
    expect(userKey).toMatchObject({
      metadata: { finalizers: [userKeyFinalizer], ownerReferences: [{ kind: 'McpServer', uid: server.metadata.uid }] },
      spec: { serverRef: { name: 'github' }, subject: alice },
    });
    expect((await ask(set('github'), 'ghp_second')).response).toMatchObject({ key: { version: 2 } });
    using opened = await replica.store.open(address, 2);
    expect(opened?.headers[0]?.value.bytes.equals(Buffer.from('ghp_second'))).toBe(true);
    expect((await ask({ v: 1, operation: 'list' })).response).toMatchObject({
      keys: [{ server: 'github', state: 'Configured', version: 2 }],
    });
    expect((await ask({ v: 1, operation: 'delete', server: 'github' })).response).toMatchObject({ deleted: true });
    expect(await replica.store.open(address, 0)).toBeUndefined();
    const deleted = await replica.client.get(userKeys, { namespace, name: replica.store.userKeyNameOf(address) });
    expect(deleted?.metadata.deletionTimestamp).toBeDefined();
    expect(audited.map(({ type }) => type)).toEqual(['key.set', 'key.set', 'key.delete']);
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
