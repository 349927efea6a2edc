import { subscribe, unsubscribe } from 'node:diagnostics_channel';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { missingPermissions } from '#operator/kube/access-check.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import { createInformer } from '#operator/kube/create-informer.ts';
import { createEventRecorder } from '#operator/kube/event-recorder.ts';
import type { Change } from '#operator/kube/informer.ts';
import {
  mcpServers,
  organizations,
  userKeyPolicies,
  userKeyRequests,
  userKeys,
} from '#operator/kube/keyring-resources.ts';
import { createLeaderLease } from '#operator/kube/leader-lease.ts';
import {
  type ConfigMap,
  configMaps,
  events,
  leases,
  namespaces,
  podMetadata,
  secrets,
} from '#operator/kube/resources.ts';
import { createTransport, transportLimits, type Transport } from '#operator/kube/transport.ts';
import { watchEvents } from '#operator/kube/watch-stream.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

let plane: ControlPlane;
let transport: Transport;
let client: KubeClient;
let rejections: unknown[];
const onRejection = (reason: unknown): void => void rejections.push(reason);

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
});

afterAll(async () => {
  await plane[Symbol.asyncDispose]();
});

beforeEach(() => {
  rejections = [];
  process.on('unhandledRejection', onRejection);
  transport = createTransport({ source: plane.source, userAgent: 'mcp-keyring-operator/test' });
  client = createKubeClient({ transport });
});

afterEach(async () => {
  await client.close();
  process.off('unhandledRejection', onRejection);
  if (rejections.length > 0) throw new AggregateError(rejections, 'unhandled rejections');
});

const fieldManager = 'test';
const configMap = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: 'default', name, labels },
  data,
});

async function until(condition: () => boolean, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition() && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  if (!condition()) throw new Error(`not within ${timeoutMs} ms: ${condition.toString()}`);
}

describe('the client', () => {
  test('server-side apply owns what it names, gives up what it leaves out, and leaves the rest alone', async () => {
    const ref = { namespace: 'default', name: 'ssa' };
    await client.apply(configMaps, configMap('ssa', { a: '1', b: '2' }), { fieldManager });
    await client.apply(configMaps, configMap('ssa', { other: '9' }), { fieldManager: 'somebody-else' });
    const applied = await client.apply(configMaps, configMap('ssa', { b: '3' }), { fieldManager });
    expect(applied.data).toEqual({ b: '3', other: '9' });
    const stolen = await client.apply(configMaps, configMap('ssa', { b: '4' }), { fieldManager: 'somebody-else' });
    expect(stolen.data).toEqual({ b: '4' });
    expect(await client.delete(configMaps, ref, { preconditionUid: applied.metadata.uid! })).toBe(true);
    expect(await client.get(configMaps, ref)).toBeUndefined();
  });

  test('status of our own kinds is applied through its subresource', async () => {
    await client.apply(
      userKeyPolicies,
      {
        apiVersion: 'mcpkeyring.io/v1alpha1',
        kind: 'UserKeyPolicy',
        metadata: { namespace: 'default', name: 'p' },
        spec: { servers: { names: ['x'] }, keys: { required: ['Authorization'] } },
      } as never,
      { fieldManager },
    );
    const condition = {
      type: 'Ready',
      status: 'Unknown',
      reason: 'Pending',
      message: 'first sight',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const status = { observedGeneration: 1, conditions: [condition] };
    const metadata = { namespace: 'default', name: 'p' };
    const object = { apiVersion: 'mcpkeyring.io/v1alpha1', kind: 'UserKeyPolicy', metadata, status };
    const written = await client.apply(userKeyPolicies, object as never, { fieldManager, subresource: 'status' });
    expect(written.status?.conditions?.[0]).toMatchObject({ type: 'Ready', status: 'Unknown' });
    await client.delete(userKeyPolicies, metadata);
  });

  test('a replace from an old state is Conflict, in objects and in bytes; finalizers hold up a deletion', async () => {
    const ref = { namespace: 'default', name: 'guarded' };
    const created = await client.create(configMaps, configMap('guarded'));
    const bytes = await client.getRaw(configMaps, ref);
    await client.mergePatch(configMaps, ref, { metadata: { finalizers: ['mcpkeyring.io/test'] } });
    await expect(client.replace(configMaps, { ...created, data: { x: 'y' } })).rejects.toMatchObject({
      code: 'Conflict',
    });
    await expect(client.replaceRaw(configMaps, ref, bytes!)).rejects.toMatchObject({ code: 'Conflict' });
    await client.delete(configMaps, ref);
    expect((await client.get(configMaps, ref))?.metadata.deletionTimestamp).toBeDefined();
    await client.mergePatch(configMaps, ref, { metadata: { finalizers: null } });
    expect(await client.get(configMaps, ref)).toBeUndefined();
  });

  test('refusals have their codes, and what the server says about a Secret is not repeated', async () => {
    await client.create(configMaps, configMap('twice'));
    await expect(client.create(configMaps, configMap('twice'))).rejects.toMatchObject({ code: 'AlreadyExists' });
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: 'default', name: 'Not-A-Name' },
      data: {},
    };
    await expect(client.create(secrets, secret)).rejects.toThrow(/^create secrets default\/Not-A-Name: 422 Invalid$/);
    await expect(client.create(configMaps, configMap('Not-A-Name'))).rejects.toThrow(
      /422 Invalid: .*lowercase RFC 1123/,
    );
  });

  test('a listing of more than one page is complete', async () => {
    const all = Array.from({ length: 620 }, (_, index) => configMap(`page-${index}`, {}, { page: 'yes' }));
    for (let from = 0; from < all.length; from += 40) {
      await Promise.all(all.slice(from, from + 40).map((one) => client.create(configMaps, one)));
    }
    const listed = await client.list(configMaps, { namespace: 'default', labelSelector: 'page=yes' });
    expect(new Set(listed.map((one) => one.metadata.name)).size).toBe(620);
  });

  test('permissions are asked for and answered', async () => {
    expect(await missingPermissions(client, [{ verb: 'get', resource: 'secrets', namespace: 'default' }])).toEqual([]);
  });

  test('an event is made once and then counted', async () => {
    const names = { reportingController: 'mcpkeyring.io/operator', reportingInstance: 'pod-0' };
    const recorder = createEventRecorder({ client, ...names });
    const regarding = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name: 'twice' };
    const event = { regarding, type: 'Warning', reason: 'TestReason', action: 'Test', note: 'a note' } as const;
    for (let time = 0; time < 3; time += 1) recorder.record(event);
    await recorder.close();
    const found = (await client.list(events, { namespace: 'default' })).filter((one) => one.reason === 'TestReason');
    expect(found).toMatchObject([{ note: 'a note', series: { count: 3 } }]);
  });
});

describe('the informer', () => {
  test('keeps up with changes, selectors and deletions, and metadata alone when asked', async () => {
    const options = { namespace: 'default', labelSelector: 'chosen=yes' };
    const informer = createInformer({ transport, type: configMaps, options });
    const metadata = createInformer({ transport, type: configMaps, options: { ...options, metadataOnly: true } });
    const kinds: string[] = [];
    informer.onChange((change) => void kinds.push(change.kind));
    informer.start();
    metadata.start();
    await Promise.all([informer.synced(), metadata.synced()]);
    await client.apply(configMaps, configMap('s', { a: '1' }, { chosen: 'yes' }), { fieldManager });
    await client.apply(configMaps, configMap('s', { a: '2' }, { chosen: 'yes' }), { fieldManager });
    await client.apply(configMaps, configMap('s', { a: '2' }, { chosen: 'no' }), { fieldManager });
    await client.apply(configMaps, configMap('s', { a: '2' }, { chosen: 'yes' }), { fieldManager });
    await until(() => kinds.length === 4 && metadata.store.size === 1);
    expect(kinds).toEqual(['added', 'updated', 'deleted', 'added']);
    expect(informer.store.get('default', 's')?.data).toEqual({ a: '2' });
    const partial = metadata.store.get('default', 's');
    expect(partial?.metadata.labels).toEqual({ chosen: 'yes' });
    expect(partial).not.toHaveProperty('data');
    await client.delete(configMaps, { namespace: 'default', name: 's' });
    await until(() => informer.store.size === 0 && metadata.store.size === 0);
    await Promise.all([informer.close(), metadata.close()]);
  });

  test('a version that the server has never seen is not answered: only the idle limit ends that watch', async () => {
    const watch = watchEvents(transport, {
      type: configMaps,
      options: {},
      resourceVersion: '999999999999',
      timeoutSeconds: 300,
      idleMsMax: 3000,
      signal: new AbortController().signal,
      clock: systemClock,
    });
    await expect(watch.next()).rejects.toMatchObject({ code: 'Timeout' });
  });

  test('a killed API server costs no event and leaves no wrong state', { timeout: 180_000 }, async () => {
    const changes: Change<ConfigMap>[] = [];
    const informer = createInformer({
      transport,
      type: configMaps,
      options: { namespace: 'default', labelSelector: 'kill=yes' },
    });
    informer.onChange((change) => void changes.push(change));
    informer.start();
    await informer.synced();
    const write = async (name: string, value: string): Promise<void> => {
      await client.apply(configMaps, configMap(name, { value }, { kill: 'yes' }), { fieldManager });
    };
    await write('stays', '1');
    await write('goes', '1');
    await until(() => informer.store.size === 2);
    const killedAtMs = performance.now();
    await plane.killApiServer();
    await plane.startApiServer();
    const backAtMs = performance.now();
    // Written past the informer, which may still be waiting.
    await plane.kubectl(['delete', 'configmap', 'goes', '-n', 'default']);
    await plane.kubectl([
      'patch',
      'configmap',
      'stays',
      '-n',
      'default',
      '--type=merge',
      '-p',
      '{"data":{"value":"2"}}',
    ]);
    await until(() => informer.store.get('default', 'stays')?.data?.['value'] === '2' && informer.store.size === 1);
    const caughtUpMs = performance.now() - backAtMs;
    await plane.restartApiServer();
    await write('later', '1');
    await until(() => informer.store.size === 2);
    const told = changes.map((change) => `${change.kind} ${change.object.metadata.name}`);
    expect(told).toEqual(['added stays', 'added goes', 'deleted goes', 'updated stays', 'added later']);
    console.log(
      `kill to ready ${Math.round(backAtMs - killedAtMs)} ms, informer caught up ${Math.round(caughtUpMs)} ms later`,
    );
    await informer.close();
  });
});

describe('the leader lease', () => {
  test('one of two candidates leads; when it stops the other takes over without waiting for the lease to end', async () => {
    const log: string[] = [];
    const candidate = (identity: string) =>
      createLeaderLease({
        client,
        namespace: 'default',
        name: 'test-lease',
        identity,
        onElected: () => void log.push(`${identity} elected`),
        onLost: () => void log.push(`${identity} lost`),
      });
    const [a, b] = [candidate('a'), candidate('b')];
    a.start();
    await until(() => a.isLeader);
    b.start();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect([a.isLeader, b.isLeader]).toEqual([true, false]);
    const lease = await client.get(leases, { namespace: 'default', name: 'test-lease' });
    expect(lease?.spec).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 15 });
    const stoppedAtMs = performance.now();
    await a.stop();
    await until(() => b.isLeader);
    expect(performance.now() - stoppedAtMs).toBeLessThan(6000);
    expect(log).toEqual(['a elected', 'b elected']);
    await b.stop();
  });
});

describe('sockets', () => {
  test('starting an operator opens as many sockets as calls may run at once, and one for each watch', async () => {
    let opened = 0;
    const count = (): void => void (opened += 1);
    subscribe('undici:client:connected', count);
    const kinds = [
      organizations,
      mcpServers,
      userKeyPolicies,
      userKeys,
      userKeyRequests,
      namespaces,
      podMetadata,
      configMaps,
    ];
    // On a busy machine calls may outlast the patience and open more sockets, which is what it is for; here nobody loses patience.
    const patient = createTransport({
      source: plane.source,
      userAgent: 'mcp-keyring-operator/test',
      limits: {
        calls: { ...transportLimits.calls, patienceMs: 60_000 },
        bulkCalls: { ...transportLimits.bulkCalls, patienceMs: 60_000 },
      },
    });
    const patientClient = createKubeClient({ transport: patient });
    const informers = kinds.map((type) => createInformer({ transport: patient, type }));
    const lease = createLeaderLease({
      client: patientClient,
      namespace: 'default',
      name: 'sockets',
      identity: 'a',
      onElected: () => undefined,
      onLost: () => undefined,
    });
    lease.start();
    for (const informer of informers) informer.start();
    await missingPermissions(patientClient, [
      { verb: 'get', resource: 'secrets' },
      { verb: 'list', resource: 'pods' },
    ]);
    await Promise.all(informers.map((informer) => informer.synced()));
    await until(() => lease.isLeader);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    unsubscribe('undici:client:connected', count);
    console.log(`${opened} sockets for ${informers.length} watches, one lease and some calls`);
    const callsAtOnce = transportLimits.calls.tasksMin + transportLimits.bulkCalls.tasksMin;
    expect(opened - informers.length).toBeLessThanOrEqual(callsAtOnce);
    await Promise.all(informers.map((informer) => informer.close()));
    await lease.stop();
    await patientClient.close();
  });
});
