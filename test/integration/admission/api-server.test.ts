import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { decideInjection } from '#operator/admission/inject/decide.ts';
import { certificatesIn } from '#operator/certificates/certified-key.ts';
import { caRenewAtMs } from '#operator/certificates/decide.ts';
import type { CertificateLifetimes } from '#operator/certificates/lifetimes.ts';
import { readTlsState } from '#operator/certificates/tls-state.ts';
import type { TlsState } from '#operator/certificates/tls-state.ts';
import { mutatingWebhookConfigurations, pods, secrets } from '#operator/kube/resources.ts';
import type { Pod } from '#operator/kube/resources.ts';
import { startControlPlane } from '#test/support/control-plane.ts';
import type { ControlPlane } from '#test/support/control-plane.ts';
import { renderText } from '#test/integration/charts/helm.ts';
import { podOf } from '#test/unit/admission/golden.ts';
import { applyPatch, testSettings, testWorld, weatherPod } from '#test/unit/admission/pods.ts';
import type { Json } from '#test/unit/admission/pods.ts';

import { MeddlingWebhook } from './meddling-webhook.ts';
import { OperatorUnderTest } from './operator-under-test.ts';
import {
  asList,
  foreignTeams,
  injectionConfigMap,
  operatorObjects,
  teamNamespace,
  webhookConfiguration,
} from './webhook-registration.ts';

const secondMs = 1_000;
/** Short lives, begun long ago: the API server looks at the real clock while ours runs ahead. */
const lifetimes: CertificateLifetimes = {
  caLifeMs: 600 * secondMs,
  leafLifeMs: 90 * secondMs,
  backdateMs: 72 * 3_600 * secondMs,
  publishSettleMs: 10 * secondMs,
};

let plane: ControlPlane;
let operator: OperatorUnderTest;
let aheadMs = 0;

beforeAll(async () => {
  plane = await startControlPlane({ serviceAccounts: true });
  await plane.installCrds();
  await plane.kubectl(
    ['apply', '--server-side', '-f', '-'],
    await renderText(['--show-only', 'templates/policies/sidecar-required.yaml']),
  );
  await apply([...operatorObjects, injectionConfigMap(testSettings.sidecarImage)]);
  await apply(teamNamespace('team-a').slice(0, 1));
  await apply([...teamNamespace('team-a'), ...restrictedNamespace()]);
  await apply(foreignTeams);
  operator = new OperatorUnderTest(plane, { lifetimes, nowMs: () => Date.now() + aheadMs });
  await operator.serve();
  const url = `https://localhost:${operator.port}/inject`;
  await apply([webhookConfiguration({ name: 'mcp-keyring-inject', webhookName: 'inject.mcpkeyring.io', url })]);
  await eventually(async () => {
    const created = await create(weatherPod({ metadata: { name: 'first' } }));
    await plane.kubectl(['delete', 'pod', '-n', 'team-a', 'first', '--now']);
    if (created.spec.initContainers === undefined) throw new Error('the webhook is not called yet');
  });
});

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

describe('a pod that the real API server creates', () => {
  test('is stored with the sidecar, exactly as the injector wrote it', async () => {
    const stored = await create(weatherPod({ metadata: { name: 'stored' } }));
    const again = decideInjection(stored, 'team-a', testWorld());
    expect(again).toEqual({ kind: 'skip', reason: 'alreadyInjected' });
    expect(stored.metadata.labels).toMatchObject({ 'mcpkeyring.io/injected': 'true' });
    expect(stored.metadata.annotations).toMatchObject({ 'kubectl.kubernetes.io/default-container': 'server' });
  });

  test('needs no default of the API server in the sidecar', async () => {
    const stored = await create(weatherPod({ metadata: { name: 'defaults' } }));
    const first = decideInjection(weatherPod(), 'team-a', testWorld());
    const operations = first.kind === 'patch' ? first.operations : [];
    expect([stored.spec.initContainers]).toEqual(
      operations.filter(({ path }) => path === '/spec/initContainers').map(valueOf),
    );
    const ours = stored.spec.volumes?.filter(({ name }) => name.startsWith('mcp-keyring-'));
    expect([ours]).toEqual(operations.filter(({ path }) => path === '/spec/volumes').map(valueOf));
  });

  test('gives its API token to the application and not to the sidecar', async ({ skip }) => {
    const stored = await create(weatherPod({ metadata: { name: 'token' } }));
    skip(stored.spec.containers[0]?.volumeMounts === undefined, 'the ServiceAccount plugin is off');
    const mounts = (containers: Pod['spec']['initContainers']): readonly string[] =>
      (containers ?? []).flatMap(({ volumeMounts }) => (volumeMounts ?? []).map(({ name }) => name));
    expect(mounts(stored.spec.containers)).toEqual([expect.stringMatching(/^kube-api-access-/)]);
    expect(mounts(stored.spec.initContainers)).toEqual([
      'mcp-keyring-identity',
      'mcp-keyring-ca',
      'mcp-keyring-no-api-token',
    ]);
  });

  test('passes the restricted Pod Security Standard', async () => {
    const securityContext = {
      runAsNonRoot: true,
      runAsUser: 1000,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    };
    const container = { name: 'server', image: 'registry.example.com/weather:1.4', securityContext };
    const stored = await create(weatherPod({ spec: { containers: [container] } }), 'restricted');
    expect(stored.spec.initContainers?.[0]?.name).toBe('mcp-proxy');
  });

  test('is refused with a sentence that says what to do', async () => {
    await expect(create(weatherPod({ spec: { hostPID: true } }))).rejects.toThrow(
      /inject\.mcpkeyring\.io.*denied the request: MCP Keyring \(hostPID\): spec\.hostPID must not be true/,
    );
  });

  test('is none of our business without the label', async () => {
    const stored = await create({ ...weatherPod({ metadata: { name: 'other', labels: { app: 'other' } } }) });
    expect(stored.spec.initContainers).toBeUndefined();
  });

  test('of a namespace with a LimitRange is taken, and looked at again', async () => {
    await apply([limitRange]);
    await using meddling = await MeddlingWebhook.start([{ op: 'add', path: '/metadata/labels/meddled', value: 'yes' }]);
    await meddling.register(plane, 'zz-label');
    const stored = await eventually(async () => {
      const pod = await create(weatherPod({ metadata: { name: undefined, generateName: 'limited-' } }));
      expect(pod.metadata.labels).toMatchObject({ meddled: 'yes' });
      return pod;
    });
    await plane.kubectl(['delete', 'limitrange', '-n', 'team-a', 'defaults']);
    expect(stored.spec.initContainers?.[0]?.resources).toMatchObject({ limits: { cpu: '500m', memory: '128Mi' } });
    const outcomes = await operator.registry.metrics();
    expect(outcomes).toMatch(/mcpkeyring_admission_total\{result="skipped",reason="alreadyInjected"\} [1-9]/);
  });

  test('is refused when a later webhook meddles with the sidecar', async () => {
    const env = [{ name: 'BUN_OPTIONS', value: '--preload=/tmp/evil.js' }];
    await using meddling = await MeddlingWebhook.start([{ op: 'add', path: '/spec/initContainers/0/env', value: env }]);
    await meddling.register(plane, 'zz-env');
    await eventually(async () => {
      await expect(create(weatherPod({ metadata: { name: undefined, generateName: 'meddled-' } }))).rejects.toThrow(
        /the injected sidecar was changed \("env"\)/,
      );
    });
  });
});

/** The API server itself cannot decode these, or takes no pod with that annotation from an administrator. */
const notForApiServer = ['refuse-malformed', 'refuse-malformed-labels', 'skip-mirror', 'openshift', 'run-as-user'];
const goldenDirectory = join(import.meta.dirname, '../../golden/inject');
const goldenCases = readdirSync(goldenDirectory)
  .filter((file) => file.endsWith('.in.yaml'))
  .map((file) => file.slice(0, -'.in.yaml'.length))
  .filter((name) => !notForApiServer.includes(name));

describe('the golden corpus on the real API server', () => {
  beforeAll(() =>
    apply([{ apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 }]),
  );

  test.each(goldenCases)('%s ends as the golden file says', async (name) => {
    const [pod] = podOf(readFileSync(join(goldenDirectory, `${name}.in.yaml`), 'utf8'));
    const golden = readFileSync(join(goldenDirectory, `${name}.out.yaml`), 'utf8');
    const metadata = { ...(pod['metadata'] as Json), name: undefined, generateName: 'golden-' };
    const outcome = await create({ ...pod, metadata }).catch((error: unknown) => String(error));
    const result = /^result: (\w+)\nreason: (\w+)/.exec(golden);
    if (result?.[1] === 'refused') return expect(outcome).toContain(`MCP Keyring (${result[2]}):`);
    const sidecars =
      typeof outcome === 'string'
        ? outcome
        : outcome.spec.initContainers?.filter((item) => item.name === 'mcp-proxy').length;
    return expect(sidecars ?? 0).toBe(result?.[1] === 'injected' ? 1 : 0);
  });
});

describe('the CA on the real API server', () => {
  test('is rotated again and again while every pod is admitted', async () => {
    const seen = new Set<string>();
    for (let rotation = 0; rotation < 3; rotation += 1) {
      const before = await tlsState();
      aheadMs = caRenewAtMs(before.active, lifetimes) - Date.now();
      await until(async () => (await tlsState()).staged !== undefined);
      await until(async () => (await publishedBundle()).length >= 2);
      await admitted(`staged-${rotation}`);
      // Twice: the first look begins to count from when the bundle was read back.
      for (let look = 0; look < 2; look += 1) {
        aheadMs += lifetimes.publishSettleMs;
        operator.wake();
        await admitted(`settling-${rotation}-${look}`);
      }
      await until(async () => (await tlsState()).active.pem !== before.active.pem);
      await admitted(`promoted-${rotation}`);
      seen.add((await tlsState()).active.pem);
    }
    expect(seen.size).toBe(3);
    expect((await publishedBundle())[0]).toBe((await tlsState()).active.pem);
  });

  test('is put back when somebody takes it from the webhook', async () => {
    const patch = [{ op: 'remove', path: '/webhooks/0/clientConfig/caBundle' }];
    await plane.kubectl([
      'patch',
      'mutatingwebhookconfiguration',
      'mcp-keyring-inject',
      '--type=json',
      '-p',
      JSON.stringify(patch),
    ]);
    await until(async () => (await publishedBundle()).length >= 1);
    const pod = await eventually(async () => {
      const created = await create(weatherPod({ metadata: { name: undefined, generateName: 'back-' } }));
      return created.spec.initContainers === undefined ? await Promise.reject(new Error('not injected')) : created;
    });
    expect(pod.spec.initContainers).toHaveLength(1);
  });

  test('does not touch the rest of the webhook', async () => {
    const text = await plane.kubectl([
      'get',
      'mutatingwebhookconfiguration',
      'mcp-keyring-inject',
      '-o',
      'json',
      '--show-managed-fields',
    ]);
    const stored = JSON.parse(text) as { metadata: { managedFields: { manager: string; fieldsV1: Json }[] } };
    const ours = stored.metadata.managedFields.filter(({ manager }) => manager === 'mcp-keyring-certificates');
    const bundleOnly = { '.': {}, 'f:clientConfig': { 'f:caBundle': {} }, 'f:name': {} };
    expect(ours.map(({ fieldsV1 }) => fieldsV1)).toEqual([
      {
        'f:webhooks': {
          'k:{"name":"inject.mcpkeyring.io"}': bundleOnly,
          'k:{"name":"agent-inject.mcpkeyring.io"}': bundleOnly,
        },
      },
    ]);
  });
});

describe('while the webhook is away', () => {
  beforeAll(() => operator.stopServing());

  test('a pod that asks for the sidecar is refused at once, and told why', async () => {
    const startMs = performance.now();
    const pod = weatherPod({ metadata: { name: undefined, generateName: 'away-' } });
    await expect(create(pod)).rejects.toThrow(
      /mcp-keyring-sidecar-required.* denied request: this pod is labelled mcpkeyring\.io\/server=weather but the sidecar was not injected/,
    );
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });

  test('a pod with a sidecar of its author’s making is refused', async () => {
    const injection = decideInjection(weatherPod(), 'team-a', testWorld());
    const pod = applyPatch(weatherPod(), injection.kind === 'patch' ? injection.operations : []) as unknown as Pod &
      Json;
    const command = ['/bin/sh', '-c', 'cat /var/run/mcp-keyring/identity/token'];
    const initContainers = pod.spec.initContainers?.map((container) => ({ ...container, command }));
    const metadata = { ...pod.metadata, name: undefined, generateName: 'forged-' };
    await expect(create({ ...pod, metadata, spec: { ...pod.spec, initContainers } })).rejects.toThrow(
      /the sidecar has a command/,
    );
  });

  test('every other pod goes on as if there were no webhook', async () => {
    const startMs = performance.now();
    const pod = await create(
      weatherPod({ metadata: { generateName: 'other-', name: undefined, labels: { app: 'other' } } }),
    );
    expect(pod.spec.initContainers).toBeUndefined();
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });

  test('and back again, pods get their sidecar', async () => {
    await operator.serve(operator.port);
    const pod = await create(weatherPod({ metadata: { name: 'again' } }));
    expect(pod.spec.initContainers).toHaveLength(1);
  });
});

async function apply(objects: readonly object[]): Promise<void> {
  await plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], asList(objects));
}

async function create(pod: Json, namespace = 'team-a'): Promise<Pod> {
  const metadata = { ...(pod['metadata'] as Json), namespace };
  // As the ServiceAccount plugin does, which this control plane may be without.
  const spec = { serviceAccountName: 'default', ...(pod['spec'] as Json) };
  return await operator.client.create(pods, { ...pod, metadata, spec } as unknown as Pod);
}

async function admitted(name: string): Promise<void> {
  const pod = await create(weatherPod({ metadata: { name } }));
  expect(pod.spec.initContainers, `pod ${name}`).toHaveLength(1);
}

async function tlsState(): Promise<TlsState> {
  const secret = await operator.client.get(secrets, { namespace: 'mcp-keyring', name: 'mcp-keyring-tls' });
  const reading = readTlsState(secret?.data);
  if (reading.kind !== 'held') throw new Error(`the Secret is ${reading.kind}`);
  return reading.state;
}

async function publishedBundle(): Promise<readonly string[]> {
  const configuration = await operator.client.get(mutatingWebhookConfigurations, { name: 'mcp-keyring-inject' });
  const caBundle = configuration?.webhooks?.[0]?.clientConfig.caBundle ?? '';
  return certificatesIn(Buffer.from(caBundle, 'base64').toString('utf8'));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  await eventually(async () => {
    operator.wake();
    expect(await condition()).toBe(true);
  });
}

/** Webhook configurations reach the API server's own cache with a delay. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function valueOf({ value }: { readonly value: unknown }): unknown {
  return value;
}

function restrictedNamespace(): readonly object[] {
  return teamNamespace('restricted', { 'pod-security.kubernetes.io/enforce': 'restricted' });
}

const limitRange = {
  apiVersion: 'v1',
  kind: 'LimitRange',
  metadata: { name: 'defaults', namespace: 'team-a' },
  spec: { limits: [{ type: 'Container', default: { cpu: '500m', memory: '512Mi' }, defaultRequest: { cpu: '10m' } }] },
};
