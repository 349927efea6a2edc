import { describe, expect, test } from 'vitest';

import { decideInjection } from '#operator/admission/inject/decide.ts';
import type { Injection } from '#operator/admission/inject/decide.ts';

import { applyPatch, testNamespace, testSettings, testWorld, weatherPod } from '../pods.ts';
import type { Json } from '../pods.ts';

interface Injected {
  metadata: { labels: Record<string, string>; annotations: Record<string, string> };
  spec: { initContainers: Json[]; containers: Json[]; volumes: Json[] };
}

/** A pod as it left the injector, changed by whoever comes after it. */
function injectedThen(change: (pod: Injected, sidecar: Json) => void): Json {
  const pod = weatherPod();
  const first = decideInjection(pod, testNamespace, testWorld());
  if (first.kind !== 'patch') throw new Error('not injected');
  const injected = applyPatch(pod, first.operations);
  const view = injected as unknown as Injected;
  change(view, view.spec.initContainers[0] ?? {});
  return injected;
}

function again(pod: Json): Injection {
  return decideInjection(pod, testNamespace, testWorld());
}

describe('a pod that comes back after another webhook', () => {
  test('is left alone when nothing of ours has changed', () => {
    expect(again(injectedThen(() => undefined))).toEqual({ kind: 'skip', reason: 'alreadyInjected' });
  });

  test.each<[string, (pod: Injected, sidecar: Json) => void]>([
    [
      'LimitRanger filled in resources',
      (_pod, sidecar) => (sidecar['resources'] = { limits: { cpu: '1', memory: '1Gi' } }),
    ],
    ['AlwaysPullImages changed the pull policy', (_pod, sidecar) => (sidecar['imagePullPolicy'] = 'Always')],
    [
      'a mesh leads the probes through its agent',
      (_pod, sidecar) => {
        const agent = { httpGet: { path: '/app-health/mcp-proxy/readyz', port: 15_020, scheme: 'HTTP' } };
        sidecar['readinessProbe'] = { ...(sidecar['readinessProbe'] as Json), ...agent };
        sidecar['startupProbe'] = { ...(sidecar['startupProbe'] as Json), ...agent };
      },
    ],
    [
      'the proxy of a mesh came first',
      (pod) => pod.spec.initContainers.unshift({ name: 'istio-proxy', restartPolicy: 'Always' }),
    ],
    [
      'another container and volume came',
      (pod) => pod.spec.containers.push({ name: 'agent' }) + pod.spec.volumes.push({ name: 'x' }),
    ],
    ['a null was written where nothing is', (_pod, sidecar) => (sidecar['env'] = null)],
  ])('is left alone when %s', (_who, change) => {
    expect(again(injectedThen(change))).toEqual({ kind: 'skip', reason: 'alreadyInjected' });
  });

  test.each<[string, (pod: Injected, sidecar: Json) => void, string]>([
    ['the image', (_pod, sidecar) => (sidecar['image'] = 'registry.example.com/evil:1'), '"image"'],
    [
      'environment variables',
      (_pod, sidecar) => (sidecar['env'] = [{ name: 'BUN_OPTIONS', value: '--preload=/x' }]),
      '"env"',
    ],
    ['a command', (_pod, sidecar) => (sidecar['command'] = ['/bin/sh']), '"command"'],
    ['the broker', (_pod, sidecar) => (sidecar['args'] = ['--broker=https://evil.example']), '"args"'],
    ['the user', (_pod, sidecar) => (sidecar['securityContext'] = { runAsUser: 0 }), '"securityContext"'],
    [
      'a mount',
      (_pod, sidecar) => (sidecar['volumeMounts'] as Json[]).push({ name: 'aws', mountPath: '/aws' }),
      '"volumeMounts"',
    ],
    [
      'a probe that runs a command',
      (_pod, sidecar) => (sidecar['readinessProbe'] = { exec: { command: ['id'] } }),
      '"readinessProbe"',
    ],
    [
      'a hook that runs a command',
      (_pod, sidecar) => (sidecar['lifecycle'] = { preStop: { exec: { command: ['id'] } } }),
      '"lifecycle"',
    ],
    [
      'a hook that makes a request',
      (_pod, sidecar) => (sidecar['lifecycle'] = { preStop: { httpGet: { path: '/drain', port: 15_020 } } }),
      '"lifecycle"',
    ],
    [
      'a hook at the start',
      (_pod, sidecar) => ((sidecar['lifecycle'] as Json)['postStart'] = { exec: {} }),
      '"lifecycle"',
    ],
    [
      'a probe that may stop it',
      (_pod, sidecar) => (sidecar['livenessProbe'] = { httpGet: { port: 1 } }),
      '"livenessProbe"',
    ],
    [
      'the host of a probe',
      (_pod, sidecar) => ((sidecar['readinessProbe'] as { httpGet: Json }).httpGet['host'] = '10.0.0.1'),
      '"readinessProbe"',
    ],
    ['native-sidecar-ness', (_pod, sidecar) => delete sidecar['restartPolicy'], '"restartPolicy"'],
    [
      'the source of a volume',
      (pod) => (pod.spec.volumes[0] = { name: 'mcp-keyring-identity', emptyDir: {} }),
      'volumes',
    ],
    ['the presence of a volume', (pod) => pod.spec.volumes.pop(), 'volumes'],
    [
      'the template hash',
      (pod) => (pod.metadata.annotations['mcpkeyring.io/sidecar-status'] = '{"template":"x"}'),
      'status annotation',
    ],
    [
      'the status into nonsense',
      (pod) => (pod.metadata.annotations['mcpkeyring.io/sidecar-status'] = '{'),
      'status annotation',
    ],
  ])('is refused when somebody changed %s', (_what, change, field) => {
    const injection = again(injectedThen(change));
    expect(injection).toMatchObject({ kind: 'refuse', reason: 'sidecarChanged' });
    expect(injection).toMatchObject({ message: expect.stringContaining(`(${field})`) });
  });

  test.each<[string, (pod: Injected, sidecar: Json) => void, string]>([
    [
      'another container mounts our volume',
      (pod) => (pod.spec.containers[0]!['volumeMounts'] = [{ name: 'mcp-keyring-identity' }]),
      'volumeMountForeign',
    ],
    [
      'an init container came before the sidecar',
      (pod) => pod.spec.initContainers.unshift({ name: 'istio-init' }, { name: 'early', restartPolicy: 'Always' }),
      'sidecarNotFirst',
    ],
    ['the sidecar is gone', (pod) => pod.spec.initContainers.shift() && (pod.spec.volumes = []), 'statusForged'],
    [
      'the annotation is gone',
      (pod) => delete pod.metadata.annotations['mcpkeyring.io/sidecar-status'],
      'containerNameTaken',
    ],
    [
      'the label says something else',
      (pod) => (pod.metadata.labels['mcpkeyring.io/injected'] = 'no'),
      'injectedLabelInvalid',
    ],
    ['host networking was turned on', (pod) => ((pod.spec as unknown as Json)['hostNetwork'] = true), 'hostNetwork'],
    [
      'a token for the broker was added',
      (pod) =>
        pod.spec.volumes.push({
          name: 'x',
          projected: { sources: [{ serviceAccountToken: { audience: 'mcp-keyring-broker' } }] },
        }),
      'audienceForeign',
    ],
  ])('is refused when %s', (_what, change, reason) => {
    expect(again(injectedThen(change))).toMatchObject({ kind: 'refuse', reason });
  });

  test('gets back the label and the default container that were taken', () => {
    const injection = again(
      injectedThen((pod) => {
        delete pod.metadata.labels['mcpkeyring.io/injected'];
        delete pod.metadata.annotations['kubectl.kubernetes.io/default-container'];
      }),
    );
    expect(injection).toMatchObject({
      kind: 'patch',
      operations: [
        { op: 'add', path: '/metadata/labels/mcpkeyring.io~1injected', value: 'true' },
        { op: 'add', path: '/metadata/annotations/kubectl.kubernetes.io~1default-container', value: 'server' },
      ],
    });
  });

  test('is refused when the sidecar image changed between the two looks', () => {
    const world = testWorld({ settings: { ...testSettings, sidecarImage: 'registry.example.com/mcp-proxy:next' } });
    const injection = decideInjection(
      injectedThen(() => undefined),
      testNamespace,
      world,
    );
    expect(injection).toMatchObject({ kind: 'refuse', reason: 'sidecarChanged' });
  });

  test('is refused while the settings are not known', () => {
    const injection = decideInjection(weatherPod(), testNamespace, testWorld({ settings: undefined }));
    expect(injection).toMatchObject({ kind: 'refuse', reason: 'notReady' });
  });
});
