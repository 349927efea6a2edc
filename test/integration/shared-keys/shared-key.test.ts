/**
 * The key of an organization in a real Secret: read with the rights that its author gives, followed, and put into requests by a compiled
 * sidecar.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { systemClock } from '#operator/kube/clock.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { ReferencedSecrets } from '#operator/shared-keys/referenced-secrets.ts';
import { verifies } from '#test/requirements.ts';
import { type BrokerWorld, github, mcpServer, userKeyOf } from '#test/support/broker-world.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { startRealBroker } from '../conformance/suite/real-broker.ts';
import { buildOnce, SidecarProcess } from '../sidecar/support/sidecar-process.ts';
import { Upstream } from '../sidecar/support/upstream.ts';
import { call, eventually, post } from '../sidecar/support/wire.ts';

const secret = { namespace: 'team-a', name: 'github-shared' };
const inEffectMsMax = 5_000;
let plane: ControlPlane;

beforeAll(async () => {
  await buildOnce();
  plane = await startControlPlane();
  for (const name of ['team-a', 'mcp-keyring']) await plane.kubectl(['create', 'namespace', name]);
  await plane.kubectl(['-n', 'mcp-keyring', 'create', 'serviceaccount', 'mcp-keyring-operator']);
  await plane.kubectl(['-n', 'mcp-keyring', 'create', 'secret', 'generic', 'mcp-keyring-kek', '--from-literal=a=kek']);
}, 300_000);

afterAll(async () => {
  await plane?.[Symbol.asyncDispose]();
});

/** What the operator may do: what was given to its account, and nothing else. */
async function follow(world: BrokerWorld) {
  const token = (await plane.kubectl(['-n', 'mcp-keyring', 'create', 'token', 'mcp-keyring-operator'])).trim();
  const source = async () => {
    const { server, ca } = await plane.source();
    return { server, ...(ca === undefined ? {} : { ca }), token };
  };
  const transport = createTransport({ source, userAgent: 'mcp-keyring-operator/test' });
  const client = createKubeClient({ transport });
  const referenced = new ReferencedSecrets({
    sources: world.sources,
    tenancy: world.tenancy,
    ownNamespaces: new Set(['mcp-keyring', 'mcp-keyring-keys']),
    transport,
    client,
    clock: systemClock,
    log: silentLog,
  });
  referenced.start();
  return {
    referenced,
    async [Symbol.asyncDispose]() {
      await referenced.close();
      await client.close();
    },
  };
}

function sharing(mode: McpServer['spec']['authentication']['mode'], ref = github): McpServer {
  const server = mcpServer(ref);
  const authentication = { ...server.spec.authentication, mode, sharedKeySecretRef: { name: secret.name } };
  return { ...server, spec: { ...server.spec, authentication } };
}

async function writeSecret(value: string): Promise<void> {
  const data = { Authorization: Buffer.from(`${value}\n`).toString('base64') };
  const metadata = { ...secret, annotations: { 'mcpkeyring.io/for-server': 'github' } };
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, data });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], body);
}

async function grant(): Promise<void> {
  const role = 'mcp-keyring-key-github';
  const to = '--serviceaccount=mcp-keyring:mcp-keyring-operator';
  const which = ['--resource=secrets', `--resource-name=${secret.name}`];
  await plane.kubectl(['-n', 'team-a', 'create', 'role', role, '--verb=get,list,watch', ...which]);
  await plane.kubectl(['-n', 'team-a', 'create', 'rolebinding', role, `--role=${role}`, to]);
}

const sentBy = (upstream: Upstream): string | undefined => upstream.received.at(-1)?.headers.authorization;

describe('the key of an organization', () => {
  test(
    'is read once its author lets the operator, changed within seconds at the sidecar, and gone with the right',
    { timeout: 120_000 },
    async () => {
      verifies('shared-keys:in-effect');
      await using stack = new AsyncDisposableStack();
      await using real = await startRealBroker(async (world) => {
        world.sources.mcpServers.put(sharing('Shared'));
        return { referencedSecrets: stack.use(await follow(world)).referenced };
      });
      await using upstream = await Upstream.recording();
      await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
      const token = real.authorization.replace('Bearer ', '');
      const ask = async (): Promise<string> => (await post(sidecar.url, call('search'), { token })).text();

      const refused = await ask();
      expect(refused).toContain('a key that its users share, and there is none for you');
      expect(refused).not.toContain('kubectl mcpkeys set');
      expect(upstream.received).toEqual([]);

      await writeSecret('first');
      await grant();
      await eventually(async () => (await ask()).includes('"result":{}'), 30_000);
      expect(sentBy(upstream)).toBe('Bearer first');

      const tookMs: number[] = [];
      for (const value of ['second', 'third', 'fourth', 'fifth']) {
        await writeSecret(value);
        const startedMs = performance.now();
        await eventually(async () => {
          await ask();
          return sentBy(upstream) === `Bearer ${value}`;
        }, inEffectMsMax);
        tookMs.push(Math.round(performance.now() - startedMs));
      }
      expect(Math.max(...tookMs)).toBeLessThan(inEffectMsMax);
      process.stderr.write(`a changed shared key was in effect after ${tookMs.join(', ')} ms\n`);

      await eventually(() => real.requests().some(({ keySource }) => keySource === 'shared'), 10_000);
      const events = JSON.stringify(real.world.audit.events);
      expect(events).toContain('"keySource":"shared"');
      for (const value of ['second', 'third']) expect(events + sidecar.output).not.toContain(value);

      await plane.kubectl([
        '-n',
        'team-a',
        'annotate',
        'secret',
        secret.name,
        'mcpkeyring.io/for-server=jira',
        '--overwrite',
      ]);
      await eventually(async () => (await ask()).includes('there is none for you'), inEffectMsMax);
      await plane.kubectl([
        '-n',
        'team-a',
        'annotate',
        'secret',
        secret.name,
        'mcpkeyring.io/for-server-',
        '--overwrite',
      ]);
      await writeSecret('sixth');
      await eventually(async () => (await ask()).includes('"result":{}'), inEffectMsMax);
      await plane.kubectl(['-n', 'team-a', 'delete', 'secret', secret.name]);
      await eventually(async () => (await ask()).includes('there is none for you'), inEffectMsMax);
    },
  );

  test('gives way to the own key of a user, and comes back when that is deleted', { timeout: 60_000 }, async () => {
    verifies('shared-keys:fallback');
    await writeSecret('shared');
    await using stack = new AsyncDisposableStack();
    await using real = await startRealBroker(async (world) => {
      world.sources.mcpServers.put(sharing('PerUserOrShared'));
      return { referencedSecrets: stack.use(await follow(world)).referenced };
    });
    await using upstream = await Upstream.recording();
    await using sidecar = await SidecarProcess.start({ broker: real.broker, upstreamPort: upstream.port });
    const token = real.authorization.replace('Bearer ', '');
    const ask = async (): Promise<string> => (await post(sidecar.url, call('search'), { token })).text();
    expect(await ask()).toContain('"result":{}');
    expect(sentBy(upstream)).toBe('Bearer key-of-alice');
    const userKey = userKeyOf(real.alice);
    real.world.sources.userKeys.put({
      ...userKey,
      status: { version: 1, rejected: { version: 1, at: new Date().toISOString() } },
    });
    await eventually(async () => (await ask()).includes('was rejected'), 2_000);
    const before = upstream.received.length;
    await ask();
    expect(upstream.received).toHaveLength(before);
    real.world.keyStore.stored.clear();
    real.world.sources.userKeys.remove(userKey);
    await eventually(async () => (await ask()).includes('"result":{}'), 2_000);
    expect(sentBy(upstream)).toBe('Bearer shared');
  });

  test(verifies('shared-keys:own-secrets'), { timeout: 60_000 }, async () => {
    const world = (await import('#test/support/broker-world.ts')).brokerWorld();
    const own = { namespace: 'mcp-keyring', name: 'evil' };
    world.tenancies.set('mcp-keyring', world.tenancies.get('team-a') ?? { kind: 'none' });
    const evil = sharing('Shared', own);
    const authentication = { ...evil.spec.authentication, sharedKeySecretRef: { name: 'mcp-keyring-kek' } };
    world.sources.mcpServers.put({ ...evil, spec: { ...evil.spec, authentication } });
    // As in an installation: the operator reads its own Secrets.
    const own4 = ['--verb=get,list,watch', '--resource=secrets', '--resource-name=mcp-keyring-kek'];
    await plane.kubectl(['-n', 'mcp-keyring', 'create', 'role', 'operator', ...own4]);
    const to = '--serviceaccount=mcp-keyring:mcp-keyring-operator';
    await plane.kubectl(['-n', 'mcp-keyring', 'create', 'rolebinding', 'operator', '--role=operator', to]);
    await plane.kubectl([
      '-n',
      'mcp-keyring',
      'annotate',
      'secret',
      'mcp-keyring-kek',
      'mcpkeyring.io/for-server=evil',
    ]);
    await using followed = await follow(world);
    const ref = { namespace: 'mcp-keyring', name: 'mcp-keyring-kek' };
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(followed.referenced.stateOf(ref)).toEqual({ kind: 'unknown' });
    expect(await followed.referenced.open(ref)).toBeUndefined();
  });
});
