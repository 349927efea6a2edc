import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { agentEnvironment } from '#operator/admission/inject/agent-environment.ts';
import { agentServers, agentServersMax } from '#operator/admission/inject/agent-servers.ts';
import { sidecarPorts } from '#crds/v1alpha1/names.ts';
import { decideInjection } from '#operator/admission/inject/decide.ts';
import type { Injection } from '#operator/admission/inject/decide.ts';
import type { PatchOperation } from '#operator/admission/inject/patch.ts';
import { targetOf } from '#sidecar/gateway/target.ts';
import { parseOptions } from '#sidecar/options.ts';

import { agentPod, applyPatch, testNamespace, testWorld } from '../pods.ts';
import type { Json } from '../pods.ts';

const servers = 'mcpkeyring.io/agent-servers';
const injectedServers = 'mcpkeyring.io/injected-servers';

interface Injected {
  metadata: { labels: Record<string, string>; annotations: Record<string, string> };
  spec: { initContainers: Json[]; containers: Json[] };
}

function patchOf(pod: Json): readonly PatchOperation[] {
  const first = decideInjection(pod, testNamespace, testWorld());
  if (first.kind !== 'patch') throw new Error('not injected');
  return first.operations;
}

function again(change: (pod: Injected) => void): Injection {
  const pod = agentPod();
  const injected = applyPatch(pod, patchOf(pod));
  change(injected as unknown as Injected);
  return decideInjection(injected, testNamespace, testWorld());
}

describe('an agent pod that comes back after another webhook', () => {
  test.each<[string, (pod: Injected) => void, string]>([
    [
      'the list of its servers',
      (pod) => (pod.metadata.annotations[injectedServers] += ',team-b/remote'),
      'sidecarChanged',
    ],
    ['that list away', (pod) => delete pod.metadata.annotations[injectedServers], 'sidecarChanged'],
    [
      'the servers that the sidecar asks for',
      (pod) => (pod.spec.initContainers[0]!['args'] as string[]).push('--server=team-b/remote'),
      'sidecarChanged',
    ],
    [
      'the address it listens on',
      (pod) => (pod.spec.initContainers[0]!['args'] as string[]).push('--address=::'),
      'sidecarChanged',
    ],
    ['the wish of its author', (pod) => (pod.metadata.annotations[servers] = 'team-b/issue-tracker'), 'sidecarChanged'],
    ['it into a server', (pod) => (pod.metadata.labels['mcpkeyring.io/server'] = 'weather'), 'agentAndServer'],
    [
      'the URL of a server',
      (pod) => (pod.spec.containers[0]!['env'] = [{ name: 'MCP_SERVER_REMOTE_URL', value: 'https://evil.example' }]),
      'environmentTaken',
    ],
  ])('is refused when somebody changed %s', (_what, change, reason) => {
    expect(again(change)).toMatchObject({ kind: 'refuse', reason });
  });

  test('gives a container that came later the variables too', () => {
    const injection = again((pod) => pod.spec.containers.push({ name: 'late', image: 'a' }));
    const value = [{ name: 'MCP_SERVER_REMOTE_URL', value: 'http://127.0.0.1:15080/team-a/remote/mcp' }];
    expect(injection).toMatchObject({
      kind: 'patch',
      operations: [{ op: 'add', path: '/spec/containers/1/env', value }],
    });
  });

  test('is left alone when a mesh came first', () => {
    const injection = again((pod) => pod.spec.initContainers.unshift({ name: 'istio-proxy', restartPolicy: 'Always' }));
    expect(injection).toEqual({ kind: 'skip', reason: 'alreadyInjected' });
  });
});

describe('what the sidecar of an agent is told', () => {
  test('is what it understands, and its URLs are those in the environment', () => {
    const injected = applyPatch(agentPod(), patchOf(agentPod())) as unknown as Injected;
    const parsed = parseOptions(injected.spec.initContainers[0]!['args'] as string[]);
    expect(parsed).toMatchObject({
      kind: 'options',
      options: {
        serving: { mode: 'egress', servers: [{ namespace: 'team-a', name: 'remote' }] },
        ports: { ingress: sidecarPorts.ingress, health: sidecarPorts.health, metrics: sidecarPorts.metrics },
      },
    });
    const [{ value }] = injected.spec.containers[0]!['env'] as [{ value: string }];
    const url = new URL(value);
    expect(url.port).toBe(String(sidecarPorts.ingress));
    expect(targetOf(url.pathname)).toMatchObject({ server: { namespace: 'team-a', name: 'remote' }, path: '/mcp' });
  });
});

describe('servers of an agent', () => {
  const world = testWorld();
  const choose = (text?: string, namespace = testNamespace): ReturnType<typeof agentServers> =>
    agentServers(text === undefined ? {} : { [servers]: text }, namespace, {
      ...world,
      hasServer: ({ namespace: at, name }) => world.findServer(at, name) !== undefined,
    });

  test('are the remote ones beside it when its author names none', () => {
    expect(choose()).toEqual({ kind: 'servers', servers: [{ namespace: 'team-a', name: 'remote' }] });
  });

  test('none beside it and none named is refused', () => {
    expect(choose(undefined, 'team-b')).toMatchObject({ kind: 'refuse', reason: 'agentServersMissing' });
  });

  test('of a namespace without organization there are none', () => {
    expect(choose('team-a/remote', 'team-none')).toMatchObject({ kind: 'refuse', reason: 'agentServerNotFound' });
  });

  test('of a whole text of any kind, only servers that exist in the organization come out', () => {
    const item = fc.oneof(
      fc.constantFrom('remote', 'weather', 'team-b/remote', 'team-x/payroll', 'team-a/nothing', '', '--broker=x'),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: agentServersMax + 2 }), (items) => {
        const chosen = choose(items.join(','));
        if (chosen.kind === 'refuse') return;
        const refs = chosen.servers.map(({ namespace, name }) => `${namespace}/${name}`);
        expect(new Set(refs).size).toBe(refs.length);
        for (const ref of refs) expect(['team-a/remote', 'team-a/weather', 'team-b/remote']).toContain(ref);
      }),
    );
  });
});

describe('variables of an agent', () => {
  test('would be the same for two servers: refused', () => {
    const namesakes = [
      { namespace: 'team-a', name: 'x' },
      { namespace: 'team-a', name: 'team-b--x' },
      { namespace: 'team-b', name: 'x' },
    ];
    expect(agentEnvironment(namesakes, 'team-a')).toMatchObject({ kind: 'refuse', reason: 'agentServersInvalid' });
  });
});

const variable = fc.record({
  name: fc.constantFrom('LANG', 'MCP_SERVER_REMOTE_URL'),
  value: fc.constantFrom('C', undefined),
});
const container = fc.record(
  {
    name: fc.oneof(fc.constantFrom('istio-proxy', 'mcp-proxy'), fc.stringMatching(/^[a-z]{1,8}$/)),
    env: fc.oneof(fc.constant(null), fc.array(variable, { maxLength: 3 })),
  },
  { requiredKeys: ['name'] },
);
const spec = fc.record(
  {
    containers: fc.array(container, { minLength: 1, maxLength: 3 }),
    initContainers: fc.array(container, { maxLength: 3 }),
  },
  { requiredKeys: ['containers'] },
);

describe('for every agent pod', () => {
  test('injecting twice is injecting once, and every container of its author knows the way', () => {
    fc.assert(
      fc.property(spec, (written) => {
        const pod = agentPod({ spec: JSON.parse(JSON.stringify(written)) as Json });
        const first = decideInjection(pod, testNamespace, testWorld());
        if (first.kind !== 'patch') return;
        const injected = applyPatch(pod, first.operations) as unknown as Injected;
        expect(decideInjection(injected, testNamespace, testWorld())).toEqual({
          kind: 'skip',
          reason: 'alreadyInjected',
        });
        const authors = [...injected.spec.containers, ...injected.spec.initContainers].filter(
          ({ name }) => name !== 'mcp-proxy' && name !== 'istio-proxy',
        );
        for (const { env } of authors) {
          const urls = (env as Json[]).filter(({ name }) => name === 'MCP_SERVER_REMOTE_URL');
          expect(urls).toEqual([{ name: 'MCP_SERVER_REMOTE_URL', value: 'http://127.0.0.1:15080/team-a/remote/mcp' }]);
        }
      }),
    );
  });
});
