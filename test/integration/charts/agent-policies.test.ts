import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { annotations, brokerAudience, caConfigMapName, labels, sidecarContainerName } from '#crds/v1alpha1/names.ts';
import { verifies } from '#test/requirements.ts';
import { agentPod, weatherPod } from '#test/unit/admission/pods.ts';
import {
  type GuardedCluster,
  operatorUser,
  removeWebhook,
  startGuardedCluster,
  waitUntilRefused,
  withAccount,
} from './guarded-cluster.ts';
import { injected, injectedAgent, type Loose } from './injected-pod.ts';
import type { Answer } from './raw-api.ts';

const pods = '/api/v1/namespaces/team-a/pods';
let cluster: GuardedCluster;

beforeAll(async () => {
  cluster = await startGuardedCluster();
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

describe('while the webhook does not answer', () => {
  test('a pod that is labelled as an agent is refused with the cause and what to do', async () => {
    const answer = await waitUntilRefused(() => cluster.createPod(agentPod()));
    expect(answer.message).toContain('labelled mcpkeyring.io/agent=true but the sidecar was not injected');
    await removeWebhook(cluster);
  });
});

interface Attack {
  readonly what: string;
  readonly change: (pod: Loose, sidecar: Loose) => void;
  readonly refusedWith: string | RegExp;
}

const otherArguments = 'the sidecar has other arguments';
const otherServers = 'names other servers than the arguments of the sidecar';

const attacks: readonly Attack[] = [
  {
    what: 'a label with another value',
    change: (pod) => (pod.metadata.labels[labels.agent] = 'false'),
    refusedWith: 'has one value, "true"',
  },
  {
    what: 'an agent that is a server too',
    change: (pod) => (pod.metadata.labels[labels.server] = 'weather'),
    // The policies of both refuse it, and the API server tells the words of one.
    refusedWith: /is an MCP server or an agent|the sidecar has other arguments/,
  },
  {
    what: 'a list with a server more than the sidecar has',
    change: (pod) => (pod.metadata.annotations[annotations.injectedServers] += ',team-b/remote'),
    refusedWith: otherServers,
  },
  {
    what: 'no list',
    change: (pod) => delete pod.metadata.annotations[annotations.injectedServers],
    refusedWith: otherServers,
  },
  {
    what: 'a server that is not in the list',
    change: (_, sidecar) => sidecar.args.push('--server=team-b/remote'),
    refusedWith: otherServers,
  },
  {
    what: 'another address to listen on',
    change: (_, sidecar) => sidecar.args.push('--address=0.0.0.0'),
    refusedWith: otherArguments,
  },
  {
    what: 'the place of one argument taken by another',
    change: (_, sidecar) => (sidecar.args[0] = '--address=0.0.0.0'),
    refusedWith: otherArguments,
  },
  {
    what: 'no servers',
    change: (pod, sidecar) => {
      sidecar.args.splice(1, 1);
      pod.metadata.annotations[annotations.injectedServers] = '';
    },
    refusedWith: otherArguments,
  },
  {
    what: 'a server whose name is none',
    change: (pod, sidecar) => {
      sidecar.args[1] = '--server=team-a/remote,team-b/remote';
      pod.metadata.annotations[annotations.injectedServers] = 'team-a/remote,team-b/remote';
    },
    refusedWith: otherArguments,
  },
  {
    what: 'more servers than are injected',
    change: (pod, sidecar) => {
      const servers = Array.from({ length: 33 }, (_, index) => `team-a/s${index}`);
      sidecar.args.splice(1, 1, ...servers.map((server) => `--server=${server}`));
      pod.metadata.annotations[annotations.injectedServers] = servers.join(',');
    },
    refusedWith: otherArguments,
  },
  {
    what: 'another broker',
    change: (_, sidecar) => (sidecar.args[2] = '--broker=https://evil.example.com:443'),
    refusedWith: otherArguments,
  },
  {
    what: 'the arguments of a server',
    change: (_, sidecar) => (sidecar.args = injected().spec.initContainers[0].args),
    refusedWith: otherArguments,
  },
  {
    what: 'another image',
    change: (_, sidecar) => (sidecar.image = 'evil.example.com/mcp-proxy:1'),
    refusedWith: 'but this cluster injects registry.example.com/',
  },
  {
    what: 'an init container before the sidecar',
    change: (pod) => pod.spec.initContainers.unshift({ name: 'early', image: 'a', restartPolicy: 'Always' }),
    refusedWith: 'init container "early" starts before the sidecar and could take its port',
  },
  {
    what: 'the agent mounting the token',
    change: (pod) => (pod.spec.containers[0].volumeMounts = [{ name: 'mcp-keyring-identity', mountPath: '/loot' }]),
    refusedWith: 'only the sidecar may mount',
  },
  {
    what: 'a second token for the broker',
    change: (pod) =>
      pod.spec.volumes.push({
        name: 'mine',
        projected: { sources: [{ serviceAccountToken: { audience: brokerAudience, path: 'token' } }] },
      }),
    refusedWith: 'a volume pretends to be one of MCP Keyring',
  },
  {
    what: 'the network of the node',
    change: (pod) => (pod.spec.hostNetwork = true),
    refusedWith: 'may not share its processes',
  },
  {
    what: 'shared processes',
    change: (pod) => (pod.spec.shareProcessNamespace = true),
    refusedWith: 'may not share its processes',
  },
  {
    what: 'a privileged container',
    change: (pod) => (pod.spec.containers[0].securityContext = { privileged: true }),
    refusedWith: 'is privileged',
  },
];

describe('an agent pod', () => {
  test('is taken as it was injected', async () => {
    expect(await cluster.createPod(injectedAgent())).toMatchObject({ status: 201, message: '' });
  });

  test.each(attacks)('with $what is refused', async ({ change, refusedWith }) => {
    const answer = await cluster.createPod(injectedAgent(change));
    expect(answer.message).toMatch(refusedWith);

    expect([403, 422]).toContain(answer.status);
  });
});

describe('a running pod', () => {
  beforeAll(async () => {
    const plain = weatherPod({ metadata: { name: 'plain', labels: { app: 'plain' } } });
    for (const pod of [injectedAgent(), injected(), plain]) {
      const { status, message } = await cluster.call({ method: 'POST', path: pods, body: withAccount(pod) });
      if (status !== 201) throw new Error(message);
    }
  });

  const patch = async (name: string, metadata: object): Promise<readonly Answer[]> => {
    const ask = (subresource: string): Promise<Answer> =>
      cluster.call({ method: 'PATCH', path: `${pods}/${name}${subresource}`, body: { metadata }, dryRun: true });
    return [await ask(''), await ask('/status')];
  };

  test(verifies('agents:policies'), async () => {
    for (const value of ['team-a/remote,team-x/payroll', '', null]) {
      for (const answer of await patch('assistant', { annotations: { [annotations.injectedServers]: value } })) {
        expect(answer.message).toContain('injected-servers of a running pod never changes');
      }
    }
    const metadata = {
      labels: { [labels.agent]: 'true', [labels.injected]: 'true' },
      annotations: { [annotations.injectedServers]: 'team-a/remote' },
    };
    for (const name of ['weather', 'plain']) {
      for (const answer of await patch(name, metadata)) {
        expect(answer.message).toContain('agent of a running pod never changes');
      }
    }
  });

  test('never stops being an agent', async () => {
    for (const answer of await patch('assistant', { labels: { [labels.agent]: null } })) {
      expect(answer.message).toContain('agent of a running pod never changes');
    }
  });

  test('that is an agent never becomes a server', async () => {
    for (const answer of await patch('assistant', { labels: { [labels.server]: 'weather' } })) {
      expect(answer.message).toContain('server of a running pod never changes');
    }
  });

  test('may be labelled and annotated otherwise', async () => {
    for (const answer of await patch('assistant', { labels: { a: 'b' }, annotations: { a: 'b' } })) {
      expect(answer).toMatchObject({ status: 200 });
    }
  });

  test.each([
    ['annotations', { annotations: { [annotations.injectedServers]: 'team-a/remote,team-b/remote' } }],
    ['labels', { labels: { [labels.agent]: 'true' } }],
  ])('gets no %s of ours from who binds it to a node', async (_, metadata) => {
    const body = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'assistant', ...metadata },
      target: { kind: 'Node', name: 'node-1' },
    };
    const answer = await cluster.call({ method: 'POST', path: `${pods}/assistant/binding`, body, dryRun: true });
    expect(answer.message).toContain('a binding may not set labels or annotations of MCP Keyring');
    const others = { ...body, metadata: { name: 'assistant', annotations: { a: 'b' } } };
    const taken = await cluster.call({ method: 'POST', path: `${pods}/assistant/binding`, body: others, dryRun: true });
    expect(taken).toMatchObject({ status: 201 });
  });

  test('lets no debug container look into its sidecar', async () => {
    const debugger_ = { name: 'debugger', image: 'busybox', targetContainerName: sidecarContainerName };
    const answer = await cluster.call({
      method: 'PATCH',
      path: `${pods}/assistant/ephemeralcontainers`,
      body: { spec: { ephemeralContainers: [debugger_] } },
      dryRun: true,
    });
    expect(answer.message).toContain('may not look into the sidecar');
  });
});

describe('the CA that sidecars know the broker by', () => {
  const path = '/api/v1/namespaces/team-a/configmaps';
  const configMap = (name: string, data: object): object => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data,
  });
  const operator = { user: operatorUser, groups: ['system:masters', 'system:authenticated'] };

  test('is written by the operator only', async () => {
    const evil = configMap(caConfigMapName, { 'ca.crt': 'evil' });
    const refused = await waitUntilRefused(() => cluster.call({ method: 'POST', path, body: evil, dryRun: true }));
    expect(refused.message).toContain('written by the operator only');
    const ours = configMap(caConfigMapName, { 'ca.crt': 'ours' });
    expect(await cluster.call({ method: 'POST', path, body: ours, as: operator })).toMatchObject({ status: 201 });
    const changes: readonly object[] = [
      { data: { 'ca.crt': 'evil' } },
      { data: null },
      { binaryData: { 'more.crt': 'AAAA' } },
    ];
    for (const body of changes) {
      const answer = await cluster.call({ method: 'PATCH', path: `${path}/${caConfigMapName}`, body });
      expect(answer.message).toContain('written by the operator only');
    }
  });

  test('may be labelled by others, and other ConfigMaps are theirs', async () => {
    const labelled = { metadata: { labels: { a: 'b' } } };
    expect(await cluster.call({ method: 'PATCH', path: `${path}/${caConfigMapName}`, body: labelled })).toMatchObject({
      status: 200,
    });
    const other = configMap('theirs', { 'ca.crt': 'theirs' });
    expect(await cluster.call({ method: 'POST', path, body: other })).toMatchObject({ status: 201 });
  });
});
