/**
 * How the operator does with many keys, on a real API server: `node test/bench/operator-scale.ts [keys]` (10 000 by default).
 * Goal: cold sync of 10 000 keys within 30 s and 256 MiB; a new key usable within 2 s.
 */
import { readFile } from 'node:fs/promises';

import { labels, userKeyFinalizer } from '#crds/v1alpha1/names.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { systemRandomness } from '#operator/envelope/randomness.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { namespaces } from '#operator/kube/resources.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { openIndexKey } from '#operator/keystore/index-key.ts';
import { LocalKekStore } from '#operator/keystore/kek-store.ts';
import { SealedKeyStore } from '#operator/keystore/sealed-key-store.ts';
import {
  applyAll,
  installPrerequisites,
  keyNamespace,
  operatorNamespace,
  OperatorProcess,
} from '#test/integration/controllers/installation.ts';
import { find, namespace, organization, server } from '#test/integration/controllers/objects.ts';
import { order } from '#test/integration/controllers/user.ts';
import { startControlPlane } from '#test/support/control-plane.ts';

import { bundleOperator } from '../../build/operator.ts';

const keys = Number(process.argv[2] ?? 10_000);
const parallel = 16;
const servers = ['github', 'gitlab', 'jira', 'notes', 'wiki'];

function say(what: string, value: string): void {
  console.log(`${what.padEnd(58)} ${value}`);
}

function secondsSince(startedAtMs: number): string {
  return `${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`;
}

async function memoryOf(pid: number): Promise<{ readonly rssMib: number; readonly peakMib: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return { rssMib: Math.round(kib('VmRSS') / 1024), peakMib: Math.round(kib('VmHWM') / 1024) };
}

async function sayMemory(operator: OperatorProcess): Promise<void> {
  const { rssMib, peakMib } = await memoryOf(operator.pid);
  const heap = await metric(operator, /^nodejs_heap_size_used_bytes (\S+)$/gm);
  const external = await metric(operator, /^nodejs_external_memory_bytes (\S+)$/gm);
  const parts = `heap ${Math.round(heap / 1024 ** 2)}, external ${Math.round(external / 1024 ** 2)}`;
  say('  memory now / at most', `${rssMib} / ${peakMib} MiB (${parts})`);
}

async function metric(operator: OperatorProcess, pattern: RegExp): Promise<number> {
  const { text } = await operator.get('/metrics').catch((error: unknown) => {
    const tail = operator.lines.filter((line) => line['audit'] === undefined).slice(-20);
    throw new Error(`the operator does not answer; it said:\n${tail.map((line) => JSON.stringify(line)).join('\n')}`, {
      cause: error,
    });
  });
  return [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0);
}

async function waitFor(isDone: () => Promise<boolean>): Promise<void> {
  while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 250));
}

async function storeOf(client: KubeClient): Promise<SealedKeyStore> {
  const material = {
    client,
    namespace: operatorNamespace,
    hasSealedKeys: async () => false,
    randomness: systemRandomness,
  };
  const monotonicMs = (): number => performance.now();
  return new SealedKeyStore({
    client,
    informer: { store: emptyStore, onChange: () => undefined },
    // Only writes.
    view: { assure: () => Promise.resolve() },
    keyNamespace,
    clusterUid: (await client.get(namespaces, { name: 'kube-system' }))?.metadata.uid ?? '',
    indexKey: await openIndexKey(material),
    keks: await LocalKekStore.open({ ...material, monotonicMs, log: silentLog }),
    randomness: systemRandomness,
    now: () => new Date(),
  });
}

const emptyStore = {
  get: () => undefined,
  getByUid: () => undefined,
  list: () => [],
  listNamespace: () => [],
  size: 0,
};

async function fill(client: KubeClient, uids: ReadonlyMap<string, string>): Promise<void> {
  const store = await storeOf(client);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < keys; index = next++) {
      const name = servers[index % servers.length] ?? '';
      const subject = { issuer: 'kubernetes', id: `user-${index}`, name: `user-${index}` };
      const address = {
        organization: 'acme',
        server: { namespace: 'team-a', name },
        serverUid: uids.get(name) ?? '',
        subject,
      };
      using value = SecretBytes.takeFrom(Buffer.from(`sk-${index}-0123456789abcdef0123456789abcdef`));
      const { version } = await store.put(address, [{ name: 'Authorization', value }]);
      const { metadata } = await client.create(userKeys, {
        apiVersion: 'mcpkeyring.io/v1alpha1',
        kind: 'UserKey',
        metadata: {
          name: store.userKeyNameOf(address),
          namespace: 'team-a',
          labels: { [labels.managed]: 'true', [labels.server]: name },
          finalizers: [userKeyFinalizer],
        },
        spec: { serverRef: { name }, subject },
      });
      const ref = { namespace: 'team-a', name: metadata.name };
      await client.mergePatch(userKeys, ref, { status: { version } }, { subresource: 'status' });
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
}

/** As the image starts it under the chart's limit: 65 % of 256 MiB, which there is no cgroup for here. */
const command = [
  '--disable-sigusr1',
  '--report-exclude-env',
  '--max-old-space-size=166',
  '--max-semi-space-size=4',
  '--disable-proto=delete',
  'dist/operator/main.js',
];
process.env['MALLOC_ARENA_MAX'] = '1';
await bundleOperator('amd64');
await using plane = await startControlPlane();
await installPrerequisites(plane);
await applyAll(plane, [
  organization('acme'),
  namespace('team-a', { org: 'acme' }),
  ...servers.map((name) => server('team-a', name)),
]);
// The first replica makes the key material that the keys below are sealed with.
{
  await using first = await OperatorProcess.start(plane, [], command);
  await first.said('this replica is the leader');
  await sayMemoryIdle(first);
}
const uids = new Map<string, string>();
for (const name of servers) uids.set(name, (await find(plane, `mcps/${name}`, '-n', 'team-a'))?.metadata.uid ?? '');
const transport = createTransport({ source: plane.source, userAgent: 'bench' });
const client = createKubeClient({ transport });
const filledAtMs = performance.now();
await fill(client, uids);
say(`making ${keys} sealed keys and UserKeys`, secondsSince(filledAtMs));

const configured = /^mcpkeyring_user_keys\{[^}]*state="Configured"\} (\d+)$/gm;
{
  const startedAtMs = performance.now();
  await using operator = await OperatorProcess.start(plane, [], command);
  await operator.said('started', 120_000);
  say('first start: caches synced, broker and webhook serving', secondsSince(startedAtMs));
  await operator.said('this replica is the leader', 60_000);
  const ledAtMs = performance.now();
  await waitFor(async () => (await metric(operator, configured)) >= keys);
  say('first start: every UserKey has its first status', secondsSince(ledAtMs));
  await sayMemory(operator);
  await operator.stop('SIGTERM');
}
{
  const startedAtMs = performance.now();
  await using operator = await OperatorProcess.start(plane, [], command);
  await operator.said('started', 120_000);
  say('restart: caches synced, broker and webhook serving', secondsSince(startedAtMs));
  await operator.said('this replica is the leader', 60_000);
  const ledAtMs = performance.now();
  await waitFor(async () => (await metric(operator, /^workqueue_depth\{name="user-key"\} (\d+)$/gm)) === 0);
  say('restart: every UserKey looked at', secondsSince(ledAtMs));
  const writes = /^rest_client_requests_total\{[^}]*method="PATCH"[^}]*\} (\d+)$/gm;
  say('restart: writes', String(await metric(operator, writes)));
  await sayMemory(operator);
  const setAtMs = performance.now();
  const headers = [{ name: 'Authorization', value: Buffer.from('sk-new') }];
  await order(
    plane,
    { namespace: 'team-a', username: 'ada' },
    { control: { v: 1, operation: 'set', server: 'github' }, headers },
  );
  say('a new key: from the request to the answer', secondsSince(setAtMs));
  await waitFor(async () => (await metric(operator, configured)) >= keys + 1);
  say('a new key: to Configured', secondsSince(setAtMs));
  await sayMemory(operator);
}
await client.close();

async function sayMemoryIdle(operator: OperatorProcess): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  say('idle, no keys', '');
  await sayMemory(operator);
}
