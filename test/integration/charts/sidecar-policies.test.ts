import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { brokerAudience, labels, sidecarContainerName, sidecarVolumeNames } from '#crds/v1alpha1/names.ts';
import { meshContainers } from '#operator/admission/inject/patch.ts';
import { weatherPod } from '#test/unit/admission/pods.ts';
import {
  type GuardedCluster,
  injectedPods,
  removeWebhook,
  startGuardedCluster,
  waitUntilRefused,
  withAccount,
} from './guarded-cluster.ts';
import { type Loose, injected } from './injected-pod.ts';

const pods = '/api/v1/namespaces/team-a/pods';
let cluster: GuardedCluster;

beforeAll(async () => {
  cluster = await startGuardedCluster();
  // One of the golden pods asks for it.
  await cluster.plane.kubectl(['create', 'priorityclass', 'high', '--value=1000']);
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const tokenVolume = (name: string, audience: string): object => ({
  name,
  projected: { sources: [{ serviceAccountToken: { audience, path: 'token' } }] },
});

describe('while the webhook does not answer', () => {
  test('a labelled pod is refused with the cause and what to do', async () => {
    const answer = await waitUntilRefused(() => cluster.createPod(weatherPod()));
    expect(answer.message).toContain(
      'labelled mcpkeyring.io/server=weather but the sidecar was not injected: the admission webhook of MCP Keyring did not answer',
    );
    expect(answer.message).toContain('check `kubectl -n mcp-keyring get pods`');
    await removeWebhook(cluster);
  });

  test('other pods are not', async () => {
    const answer = await cluster.createPod(weatherPod({ metadata: { labels: { app: 'weather' } } }));
    expect(answer).toMatchObject({ status: 201, message: '' });
  });
});

describe('a pod that was injected', () => {
  test('the plain one is taken', async () => {
    expect(await cluster.createPod(injected())).toMatchObject({ status: 201, message: '' });
  });

  test.each(injectedPods())('the golden pod $name is taken', async ({ name, pod }) => {
    const answer = await cluster.createPod(pod);
    // Settings of their own mean another image than the chart's.
    if (name.startsWith('settings-')) expect(answer.message).not.toContain('evaluat');
    else expect(answer).toMatchObject({ status: 201, message: '' });
  });

  test.each([...meshContainers])('%s may start before the sidecar', async (name) => {
    const pod = injected((changed) =>
      changed.spec.initContainers.unshift({ name, image: 'a', restartPolicy: 'Always' }),
    );
    expect(await cluster.createPod(pod)).toMatchObject({ status: 201, message: '' });
  });

  test('fields that other admission plugins fill in do not matter', async () => {
    const pod = injected((_, sidecar) => {
      sidecar.imagePullPolicy = 'Always';
      sidecar.resources.limits.cpu = '2';
      sidecar.securityContext.runAsUser = 1_000_700_000;
    });
    expect(await cluster.createPod(pod)).toMatchObject({ status: 201, message: '' });
  });
});

interface Attack {
  readonly what: string;
  readonly change: (pod: Loose, sidecar: Loose) => void;
  readonly refusedWith: string;
}

const weakened = 'securityContext of the sidecar was weakened';
const mountsChanged = 'the sidecar has other mounts';
const volumePretends = 'a volume pretends to be one of MCP Keyring';
const hookOrProbe = 'has a hook or a probe that was not injected';
const otherArguments = 'the sidecar has other arguments';
const notPrivate = 'may not share its processes';
const onlySidecar = 'only the sidecar may mount';

const attacks: readonly Attack[] = [
  {
    what: 'another image',
    change: (_, sidecar) => (sidecar.image = 'evil.example.com/mcp-proxy:1'),
    refusedWith:
      'the sidecar has the image evil.example.com/mcp-proxy:1, but this cluster injects registry.example.com/',
  },
  {
    what: 'the sidecar as a regular container',
    change: (pod, sidecar) => {
      pod.spec.initContainers = [];
      delete sidecar.restartPolicy;
      pod.spec.containers.push(sidecar);
    },
    refusedWith: 'was not injected',
  },
  {
    what: 'a sidecar that ends before the pod starts',
    change: (_, sidecar) => {
      for (const field of ['restartPolicy', 'startupProbe', 'readinessProbe', 'lifecycle']) delete sidecar[field];
    },
    refusedWith: 'was not injected',
  },
  {
    what: 'another command',
    change: (_, sidecar) => (sidecar.command = ['/bin/sh']),
    refusedWith: 'has a command, env',
  },
  {
    what: 'environment variables',
    change: (_, sidecar) => (sidecar.env = [{ name: 'NODE_OPTIONS', value: '--inspect' }]),
    refusedWith: 'has a command, env',
  },
  {
    what: 'environment from a ConfigMap',
    change: (_, sidecar) => (sidecar.envFrom = [{ configMapRef: { name: 'evil' } }]),
    refusedWith: 'has a command, env',
  },
  { what: 'a terminal', change: (_, sidecar) => (sidecar.tty = true), refusedWith: 'or terminal' },
  { what: 'an open stdin', change: (_, sidecar) => (sidecar.stdin = true), refusedWith: 'or terminal' },
  {
    what: 'a liveness probe that runs a command',
    change: (_, sidecar) => (sidecar.livenessProbe = { exec: { command: ['/bin/dump'] } }),
    refusedWith: 'liveness probe',
  },
  {
    what: 'a readiness probe that runs a command',
    change: (_, sidecar) => (sidecar.readinessProbe = { exec: { command: ['/bin/dump'] } }),
    refusedWith: hookOrProbe,
  },
  {
    what: 'a hook that runs a command after start',
    change: (_, sidecar) => (sidecar.lifecycle.postStart = { exec: { command: ['/bin/dump'] } }),
    refusedWith: hookOrProbe,
  },
  {
    what: 'a hook that runs a command before stop',
    change: (_, sidecar) => (sidecar.lifecycle = { preStop: { exec: { command: ['/bin/dump'] } } }),
    refusedWith: hookOrProbe,
  },
  {
    what: 'a hook that runs the sidecar with more arguments',
    change: (_, sidecar) => sidecar.lifecycle.preStop.exec.command.push('--help'),
    refusedWith: hookOrProbe,
  },
  {
    what: 'a hook that makes a request',
    change: (_, sidecar) => (sidecar.lifecycle.preStop = { httpGet: { path: '/metrics', port: 15_082 } }),
    refusedWith: hookOrProbe,
  },
  {
    what: 'a hook that sleeps',
    change: (_, sidecar) => (sidecar.lifecycle.preStop = { sleep: { seconds: 5 } }),
    refusedWith: hookOrProbe,
  },
  {
    what: 'no hook before stop',
    change: (_, sidecar) => delete sidecar.lifecycle,
    refusedWith: hookOrProbe,
  },
  ...['startupProbe', 'readinessProbe'].flatMap((probe) => [
    {
      what: `a ${probe} of another host`,
      change: (_: Loose, sidecar: Loose) => (sidecar[probe].httpGet.host = '10.0.0.1'),
      refusedWith: hookOrProbe,
    },
    {
      what: `a ${probe} that any listener answers`,
      change: (_: Loose, sidecar: Loose) => (sidecar[probe] = { tcpSocket: { port: 8080 } }),
      refusedWith: hookOrProbe,
    },
    { what: `no ${probe}`, change: (_: Loose, sidecar: Loose) => delete sidecar[probe], refusedWith: hookOrProbe },
  ]),
  ...[undefined, 'Always'].map((restartPolicy) => ({
    what: `an init container before the sidecar that ${restartPolicy === undefined ? 'ends' : 'goes on running'}`,
    change: (pod: Loose) =>
      pod.spec.initContainers.unshift({ name: 'early', image: 'a', ...(restartPolicy && { restartPolicy }) }),
    refusedWith: 'init container "early" starts before the sidecar and could take its port',
  })),
  {
    what: 'an init container between those of a mesh and the sidecar',
    change: (pod) => pod.spec.initContainers.unshift({ name: 'istio-init', image: 'a' }, { name: 'early', image: 'a' }),
    refusedWith: 'init container "early" starts before the sidecar',
  },
  {
    what: 'the server of somebody else',
    change: (_, sidecar) => (sidecar.args[0] = '--server=team-b/payroll'),
    refusedWith: otherArguments,
  },
  {
    what: 'a label that is not the server of the arguments',
    change: (pod) => (pod.metadata.labels[labels.server] = 'payroll'),
    refusedWith: otherArguments,
  },
  {
    what: 'an upstream outside the pod',
    change: (_, sidecar) => (sidecar.args[1] = '--upstream=http://evil.example.com:80'),
    refusedWith: otherArguments,
  },
  {
    what: 'an upstream that only begins like loopback',
    change: (_, sidecar) => (sidecar.args[1] = '--upstream=http://127.0.0.1:80@evil.example.com'),
    refusedWith: otherArguments,
  },
  {
    what: 'two upstreams',
    change: (_, sidecar) => (sidecar.args[2] = '--upstream=http://127.0.0.1:81'),
    refusedWith: otherArguments,
  },
  {
    what: 'another broker',
    change: (_, sidecar) => (sidecar.args[3] = '--broker=https://evil.example.com:443'),
    refusedWith: otherArguments,
  },
  {
    what: 'a seventh argument',
    change: (_, sidecar) => sidecar.args.push('--path=/other'),
    refusedWith: otherArguments,
  },
  { what: 'root', change: (_, sidecar) => (sidecar.securityContext.runAsUser = 0), refusedWith: weakened },
  { what: 'maybe root', change: (_, sidecar) => delete sidecar.securityContext.runAsNonRoot, refusedWith: weakened },
  {
    what: 'a capability',
    change: (_, sidecar) => (sidecar.securityContext.capabilities.add = ['SYS_PTRACE']),
    refusedWith: weakened,
  },
  {
    what: 'capabilities kept',
    change: (_, sidecar) => delete sidecar.securityContext.capabilities,
    refusedWith: weakened,
  },
  {
    what: 'privilege escalation',
    change: (_, sidecar) => (sidecar.securityContext.allowPrivilegeEscalation = true),
    refusedWith: weakened,
  },
  {
    what: 'a writable root',
    change: (_, sidecar) => delete sidecar.securityContext.readOnlyRootFilesystem,
    refusedWith: weakened,
  },
  {
    what: 'no seccomp',
    change: (_, sidecar) => (sidecar.securityContext.seccompProfile = { type: 'Unconfined' }),
    refusedWith: weakened,
  },
  { what: 'no securityContext', change: (_, sidecar) => delete sidecar.securityContext, refusedWith: weakened },
  {
    what: 'the API token within reach of the sidecar',
    change: (_, sidecar) => sidecar.volumeMounts.pop(),
    refusedWith: mountsChanged,
  },
  {
    what: 'the empty folder beside the API token instead of over it',
    change: (_, sidecar) => (sidecar.volumeMounts[2].mountPath = '/elsewhere'),
    refusedWith: mountsChanged,
  },
  {
    what: 'a writable mount',
    change: (_, sidecar) => delete sidecar.volumeMounts[1].readOnly,
    refusedWith: mountsChanged,
  },
  {
    what: 'a volume of the pod in the sidecar',
    change: (pod, sidecar) => {
      pod.spec.volumes.push({ name: 'shared', emptyDir: {} });
      sidecar.volumeMounts.push({ name: 'shared', mountPath: '/shared', readOnly: true });
    },
    refusedWith: mountsChanged,
  },
  ...sidecarVolumeNames.map((name) => ({
    what: `the server mounting ${name}`,
    change: (pod: Loose) => (pod.spec.containers[0].volumeMounts = [{ name, mountPath: '/loot' }]),
    refusedWith: onlySidecar,
  })),
  {
    what: 'an init container mounting the token',
    change: (pod) =>
      pod.spec.initContainers.push({
        name: 'setup',
        image: 'a',
        volumeMounts: [{ name: 'mcp-keyring-identity', mountPath: '/loot' }],
      }),
    refusedWith: onlySidecar,
  },
  {
    what: 'a second token for the broker',
    change: (pod) => {
      pod.spec.volumes.push(tokenVolume('mine', brokerAudience));
      pod.spec.containers[0].volumeMounts = [{ name: 'mine', mountPath: '/loot' }];
    },
    refusedWith: volumePretends,
  },
  {
    what: 'a second token for the broker beside another source',
    change: (pod) => {
      const volume = tokenVolume('mine', 'other') as Loose;
      volume.projected.sources.push({ serviceAccountToken: { audience: brokerAudience, path: 'second' } });
      pod.spec.volumes.push(volume);
    },
    refusedWith: volumePretends,
  },
  {
    what: 'a CA of their own',
    change: (pod) =>
      (pod.spec.volumes.find((volume: Loose) => volume.name === 'mcp-keyring-ca').configMap.name = 'evil'),
    refusedWith: volumePretends,
  },
  {
    what: 'a token for another audience in the place of ours',
    change: (pod) => {
      pod.spec.volumes = pod.spec.volumes.map((volume: Loose) =>
        volume.name === 'mcp-keyring-identity' ? tokenVolume(volume.name, 'other') : volume,
      );
    },
    refusedWith: volumePretends,
  },
  {
    what: 'a folder of the node over the API token',
    change: (pod) => {
      const volume = pod.spec.volumes.find(({ name }: Loose) => name === 'mcp-keyring-no-api-token');
      delete volume.emptyDir;
      volume.hostPath = { path: '/' };
    },
    refusedWith: volumePretends,
  },
  { what: 'shared processes', change: (pod) => (pod.spec.shareProcessNamespace = true), refusedWith: notPrivate },
  { what: "the node's processes", change: (pod) => (pod.spec.hostPID = true), refusedWith: notPrivate },
  { what: "the node's network", change: (pod) => (pod.spec.hostNetwork = true), refusedWith: notPrivate },
  { what: "the node's IPC", change: (pod) => (pod.spec.hostIPC = true), refusedWith: notPrivate },
  {
    what: 'a pretended mirror pod without sidecar',
    change: (pod) => {
      pod.metadata.annotations = { 'kubernetes.io/config.mirror': 'x' };
      pod.spec.nodeName = 'node-1';
      pod.spec.initContainers = [];
    },
    refusedWith: 'was not injected',
  },
];

describe('a labelled pod that is not exactly as injected', () => {
  test.each(attacks)('$what', async ({ change, refusedWith }) => {
    const answer = await cluster.createPod(injected(change));
    expect(answer.message).toContain(refusedWith);
    expect([403, 422]).toContain(answer.status);
  });

  test('is refused when the parameters are gone', async () => {
    await cluster.plane.kubectl(['-n', 'mcp-keyring', 'delete', 'configmap', 'mcp-keyring-injection']);
    const answer = await waitUntilRefused(() => cluster.createPod(injected()));
    expect(answer.message).toContain('mcp-keyring-sidecar-required');
    await restoreParameters();
  });
});

async function restoreParameters(): Promise<void> {
  const sidecarImage = injected().spec.initContainers[0].image as string;
  await cluster.plane.kubectl([
    '-n',
    'mcp-keyring',
    'create',
    'configmap',
    'mcp-keyring-injection',
    `--from-literal=sidecarImage=${sidecarImage}`,
  ]);
  for (;;) if ((await cluster.createPod(injected())).status === 201) return;
}

describe('a pod without the label', () => {
  test.each([['mcp-keyring'], ['kube-system']])('may have such a token in %s', async (namespace) => {
    const pod = weatherPod({
      metadata: { labels: {} },
      spec: { containers: [{ name: 'a', image: 'a' }], volumes: [tokenVolume('t', brokerAudience)] },
    });
    expect(await cluster.createPod(pod, namespace)).toMatchObject({ status: 201 });
  });

  test('may not have a token for the broker', async () => {
    const pod = weatherPod({
      metadata: { labels: {} },
      spec: { containers: [{ name: 'a', image: 'a' }], volumes: [tokenVolume('t', brokerAudience)] },
    });
    const answer = await cluster.createPod(pod);
    expect(answer.message).toContain('only pods with the sidecar get a token for the audience mcp-keyring-broker');
  });

  test('may have tokens for others', async () => {
    const pod = weatherPod({
      metadata: { labels: {} },
      spec: { containers: [{ name: 'a', image: 'a' }], volumes: [tokenVolume('t', 'vault')] },
    });
    expect(await cluster.createPod(pod)).toMatchObject({ status: 201 });
  });

  test('nobody but a kubelet asks for a token for the broker', async () => {
    await cluster.plane.kubectl(['-n', 'team-a', 'create', 'serviceaccount', 'app']);
    const ask = (audiences: readonly string[], as?: string): ReturnType<GuardedCluster['call']> =>
      cluster.call({
        method: 'POST',
        path: '/api/v1/namespaces/team-a/serviceaccounts/app/token',
        body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences } },
        ...(as === undefined ? {} : { as: { user: as, groups: ['system:masters', 'system:authenticated'] } }),
      });
    expect((await ask([brokerAudience])).message).toContain('are made by kubelets for pods with the sidecar only');
    expect((await ask(['vault', brokerAudience], operatorLikeUser)).message).toContain('are made by kubelets');
    expect(await ask(['mcp-keyring'])).toMatchObject({ status: 201 });
    expect((await ask([brokerAudience], 'system:node:worker-1')).message).not.toContain('are made by kubelets');
  });
});

const operatorLikeUser = 'system:serviceaccount:mcp-keyring:mcp-keyring-operator';

describe('a running pod', () => {
  beforeAll(async () => {
    for (const pod of [injected(), weatherPod({ metadata: { name: 'plain', labels: { app: 'plain' } } })]) {
      const { status, message } = await cluster.call({ method: 'POST', path: pods, body: withAccount(pod) });
      if (status !== 201) throw new Error(message);
    }
  });

  const patch = (name: string, body: object, subresource = ''): ReturnType<GuardedCluster['call']> =>
    cluster.call({ method: 'PATCH', path: `${pods}/${name}${subresource}`, body, dryRun: true });

  test.each([
    ['removes', null],
    ['changes', 'payroll'],
  ])('nobody %s its label, not even through the status', async (_, value) => {
    const body = { metadata: { labels: { [labels.server]: value } } };
    for (const subresource of ['', '/status']) {
      expect((await patch('weather', body, subresource)).message).toContain('of a running pod never changes');
    }
  });

  test('nobody labels one that was not injected', async () => {
    const body = { metadata: { labels: { [labels.server]: 'weather' } } };
    expect((await patch('plain', body)).message).toContain('of a running pod never changes');
    expect((await patch('plain', body, '/status')).message).toContain('of a running pod never changes');
  });

  test('nobody changes the image of its sidecar', async () => {
    const { spec } = injected();
    spec.initContainers[0].image = 'evil.example.com/mcp-proxy:1';
    const answer = await patch('weather', { spec: { initContainers: spec.initContainers } });
    expect(answer.message).toContain('the image of the sidecar of a running pod never changes');
  });

  test('its other labels, annotations, finalizers and images can change, also after the chart has another sidecar image', async () => {
    await cluster.plane.kubectl([
      '-n',
      'mcp-keyring',
      'patch',
      'configmap',
      'mcp-keyring-injection',
      '--type=merge',
      '-p',
      '{"data":{"sidecarImage":"registry.example.com/later:2"}}',
    ]);
    await waitUntilRefused(() => cluster.createPod(injected()));
    const metadata = { labels: { a: 'b' }, annotations: { a: 'b' }, finalizers: ['example.com/x'] };
    expect(await patch('weather', { metadata })).toMatchObject({ status: 200 });
    const current = await cluster.call({ method: 'GET', path: `${pods}/weather` });
    const { containers } = current.body['spec'] as Loose;
    expect(
      await patch('weather', { spec: { containers: [{ ...containers[0], image: 'registry.example.com/weather:2' }] } }),
    ).toMatchObject({ status: 200 });
  });

  const connect = (subresource: string, query: string, name = 'weather'): ReturnType<GuardedCluster['call']> =>
    cluster.call({ method: 'POST', path: `${pods}/${name}/${subresource}?${query}` });

  test.each(['exec', 'attach'])('nobody can %s into the sidecar', async (subresource) => {
    const answer = await connect(subresource, `container=${sidecarContainerName}&command=id&stdout=true`);
    expect(answer.message).toContain('nobody may enter the sidecar mcp-proxy');
    expect([403, 422]).toContain(answer.status);
  });

  test.each(['exec', 'attach'])('%s into the server, named or not, gets past admission', async (subresource) => {
    for (const query of ['container=server&', '']) {
      const answer = await connect(subresource, `${query}command=id&stdout=true`);
      // There is no node; a container that is not named is the only regular one, never the sidecar.
      expect(answer.message).toContain('does not have a host assigned');
    }
  });
});
