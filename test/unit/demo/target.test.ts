import { describe, expect, test } from 'vitest';

import {
  aimed,
  aimedEnvironment,
  deliverCommand,
  deliveryFor,
  downHint,
  kindDownCommand,
  kindTarget,
  kindUpCommand,
  kubectlFlags,
  neededPrograms,
  type Target,
} from '#test/demo/target.ts';

const kubeconfig = '/project/dist/kind.kubeconfig';
const kind = kindTarget(kubeconfig);
const current: Target = { kind: 'current', context: 'staging' };

describe('with kind', () => {
  test('kubectl and helm get the context and the kubeconfig of the cluster of the demo, before their own arguments', () => {
    const flags = ['--context', 'kind-mcp-keyring-demo', '--kubeconfig', kubeconfig];
    expect(kubectlFlags(kind)).toEqual(flags);
    expect(aimed(kind, ['kubectl', 'exec', 'pod', '--', 'id'])).toEqual([
      'kubectl',
      ...flags,
      'exec',
      'pod',
      '--',
      'id',
    ]);
    expect(aimed(kind, ['helm', 'list'])).toEqual([
      'helm',
      '--kube-context',
      'kind-mcp-keyring-demo',
      '--kubeconfig',
      kubeconfig,
      'list',
    ]);
    expect(aimedEnvironment(kind, { KUBECONFIG: '/home/me/.kube/config' })).toEqual({ KUBECONFIG: kubeconfig });
  });

  test('only the cluster of the demo is made, used and deleted, never the one named kind', () => {
    expect(kindUpCommand(['kind'], kubeconfig).slice(0, 5)).toEqual([
      'kind',
      'create',
      'cluster',
      '--name',
      'mcp-keyring-demo',
    ]);
    expect(kindUpCommand(['mcp-keyring-demo'], kubeconfig).slice(0, 5)).toEqual([
      'kind',
      'export',
      'kubeconfig',
      '--name',
      'mcp-keyring-demo',
    ]);
    expect(kindDownCommand(['kind', 'mcp-keyring-demo-2'], kubeconfig)).toBeUndefined();
    expect(kindDownCommand(['kind', 'mcp-keyring-demo'], kubeconfig)).toEqual([
      'kind',
      'delete',
      'cluster',
      '--name',
      'mcp-keyring-demo',
      '--kubeconfig',
      kubeconfig,
    ]);
    for (const command of [kindUpCommand([], kubeconfig), kindUpCommand(['mcp-keyring-demo'], kubeconfig)])
      expect(command.join(' ')).toContain(`--kubeconfig ${kubeconfig}`);
  });
});

describe('with CLUSTER=current', () => {
  test('every command names the context that was current at the start', () => {
    expect(aimed(current, ['kubectl', 'get', 'pods'])).toEqual(['kubectl', '--context', 'staging', 'get', 'pods']);
    expect(aimed(current, ['helm', 'list'])).toEqual(['helm', '--kube-context', 'staging', 'list']);
  });

  test('variables of Helm do not lead it to another cluster than kubectl', () => {
    const environment = {
      HELM_KUBECONTEXT: 'other',
      HELM_KUBEAPISERVER: 'https://other',
      KUBECONFIG: 'mine',
      HOME: '/',
    };
    expect(aimedEnvironment(current, environment)).toEqual({ KUBECONFIG: 'mine', HOME: '/' });
  });

  test('the closing hint repeats the choice', () => {
    expect(downHint('current')).toBe('CLUSTER=current make demo-down');
    expect(downHint(undefined)).toBe('make demo-down');
    expect(downHint('')).toBe('make demo-down');
  });

  test('images that the nodes could not get are refused, with what to do', () => {
    expect(() => deliveryFor(current, '')).toThrow(/staging could not get them[^]*REGISTRY=/u);
  });

  test.each([
    ['staging', 'registry.example/team/', ['docker', 'push', 'image']],
    ['kind-mine', '', ['kind', 'load', 'docker-image', 'image', '--name', 'mine']],
    ['minikube', '', ['minikube', '-p', 'minikube', 'image', 'load', 'image']],
    ['docker-desktop', '', undefined],
  ])('images get to the context %s', (context, registry, expected) => {
    expect(deliverCommand(deliveryFor({ kind: 'current', context }, registry), 'image')).toEqual(expected);
  });
});

test('the programs that are needed are known before anything runs', () => {
  expect(neededPrograms('up', 'lab')).toEqual([]);
  expect(neededPrograms('up', 'kind')).toEqual(['docker', 'kubectl', 'helm', 'kind']);
  expect(neededPrograms('up', 'current', { how: 'push', registry: 'x' })).toEqual(['docker', 'kubectl', 'helm']);
  expect(neededPrograms('down', 'current')).toEqual(['kubectl', 'helm']);
});

test('the lab cluster is reached through its own network and kubeconfig', () => {
  expect(aimed({ kind: 'lab' }, ['kubectl', 'get', 'pods'])).toEqual(['kubectl', 'get', 'pods']);
  expect(aimed({ kind: 'lab' }, ['helm', 'list'])).toEqual(['helm', 'list']);
});
