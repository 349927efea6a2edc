import { describe, expect, test } from 'vitest';

import { judgeRole } from '#operator/identity/pod-roles.ts';
import type { PodAction, RoleWorld } from '#operator/identity/pod-roles.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

const linear = { namespace: 'team-a', name: 'linear' };
const foreign = { namespace: 'team-b', name: 'jira' };
const inCluster = { namespace: 'team-a', name: 'notes' };

const organizations: Readonly<Record<string, string>> = { 'team-a': 'default', 'team-b': 'default', 'team-x': 'x' };
const world: RoleWorld = {
  organizationOf: (namespace) => organizations[namespace],
  isRemote: ({ name }) => name !== inCluster.name,
  operatorNamespace: 'mcp-keyring',
};

function agent(change: Partial<KubeObject['metadata']> = {}): KubeObject {
  const metadata = {
    name: 'assistant-0',
    namespace: 'team-a',
    uid: 'uid-1',
    labels: { 'mcpkeyring.io/agent': 'true', 'mcpkeyring.io/injected': 'true' },
    annotations: { 'mcpkeyring.io/injected-servers': 'team-a/linear,team-a/notes,team-b/jira,team-x/payroll' },
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, ...change } };
}

const leasing = (server: PodAction['server'] = linear): PodAction => ({ server, purpose: 'leasing' });

describe('a pod with the sidecar of an agent', () => {
  test.each([
    ['a remote server beside it', linear],
    ['a remote server of another namespace of its organization', foreign],
  ])('is given keys for %s', (_, server) => {
    expect(judgeRole(agent(), leasing(server), world)).toEqual({ kind: 'may', role: 'agent' });
  });

  test('is given the policy of a server in the cluster, and no key: the sidecar there adds it', () => {
    const watching = { server: inCluster, purpose: 'watching' } as const;
    expect(judgeRole(agent(), watching, world)).toEqual({ kind: 'may', role: 'agent' });
    expect(judgeRole(agent(), leasing(inCluster), world)).toEqual({ kind: 'mayNot', refusal: 'ServerNotRemote' });
  });

  test.each<[string, KubeObject, PodAction['server'], string]>([
    ['a server that it was not injected with', agent(), { ...linear, name: 'slack' }, 'ServerNotInjected'],
    ['a name that is only the end of one', agent(), { namespace: 'a', name: 'linear' }, 'ServerNotInjected'],
    ['a name that is only the beginning of one', agent(), { ...linear, name: 'line' }, 'ServerNotInjected'],
    ['the same name elsewhere', agent(), { namespace: 'team-b', name: 'linear' }, 'ServerNotInjected'],
    ['anything, without a list', agent({ annotations: {} }), linear, 'ServerNotInjected'],
    [
      'what its author asked for, before it was injected',
      agent({ annotations: { 'mcpkeyring.io/agent-servers': 'team-a/linear' } }),
      linear,
      'ServerNotInjected',
    ],
    [
      'a server of another organization',
      agent(),
      { namespace: 'team-x', name: 'payroll' },
      'ServerOfAnotherOrganization',
    ],
    [
      'a server beside it, once its namespace has no organization',
      agent({ namespace: 'team-none' }),
      linear,
      'ServerOfAnotherOrganization',
    ],
    ['anything, without the sidecar', agent({ labels: { 'mcpkeyring.io/agent': 'true' } }), linear, 'PodNotInjected'],
    [
      'anything, with another value of the label',
      agent({ labels: { 'mcpkeyring.io/agent': 'yes', 'mcpkeyring.io/injected': 'true' } }),
      linear,
      'PodNotInjected',
    ],
    [
      'anything, when it is labelled as a server too',
      agent({ labels: { ...agent().metadata.labels, 'mcpkeyring.io/server': 'linear' } }),
      linear,
      'PodRoleAmbiguous',
    ],
    ['anything, while it terminates', agent({ deletionTimestamp: '2026-11-25T02:00:00Z' }), linear, 'PodTerminating'],
  ])('is not given keys for %s', (...[, pod, server, refusal]) => {
    expect(judgeRole(pod, leasing(server), world)).toEqual({ kind: 'mayNot', refusal });
    expect(judgeRole(pod, { server, purpose: 'watching' }, world)).toEqual({ kind: 'mayNot', refusal });
  });

  test('reports what it did to servers it was injected with, also while it terminates or after it lost them, and to no others', () => {
    const ending = agent({ deletionTimestamp: '2026-11-25T02:00:00Z', namespace: 'team-none' });
    for (const server of [linear, inCluster, foreign]) {
      expect(judgeRole(ending, { server, purpose: 'reporting' }, world)).toEqual({ kind: 'may', role: 'agent' });
    }
    const other = { server: { ...linear, name: 'slack' }, purpose: 'reporting' } as const;
    expect(judgeRole(ending, other, world)).toEqual({ kind: 'mayNot', refusal: 'ServerNotInjected' });
  });
});

describe('a pod with the sidecar of a server', () => {
  test('gains nothing from the annotation of agents', () => {
    const pod = agent({ labels: { 'mcpkeyring.io/server': 'notes', 'mcpkeyring.io/injected': 'true' } });
    expect(judgeRole(pod, leasing(linear), world)).toEqual({ kind: 'mayNot', refusal: 'PodServesAnotherServer' });
    expect(judgeRole(pod, leasing(foreign), world)).toEqual({ kind: 'mayNot', refusal: 'NamespaceMismatch' });
    expect(judgeRole(pod, leasing(inCluster), world)).toEqual({ kind: 'may', role: 'server' });
  });
});

describe('a gateway pod', () => {
  const gateway = (change: Partial<KubeObject['metadata']> = {}): KubeObject =>
    agent({ namespace: 'mcp-keyring', labels: { 'mcpkeyring.io/gateway': 'true' }, annotations: {}, ...change });

  test('is given keys for remote servers of every organization, and the policy of every server', () => {
    for (const server of [linear, foreign, { namespace: 'team-x', name: 'payroll' }]) {
      expect(judgeRole(gateway(), leasing(server), world)).toEqual({ kind: 'may', role: 'gateway' });
    }
    for (const purpose of ['watching', 'reporting'] as const) {
      expect(judgeRole(gateway(), { server: inCluster, purpose }, world)).toEqual({ kind: 'may', role: 'gateway' });
    }
  });

  test('is given no key for a server in the cluster: the sidecar there adds it', () => {
    expect(judgeRole(gateway(), leasing(inCluster), world)).toEqual({ kind: 'mayNot', refusal: 'ServerNotRemote' });
  });

  test.each<[string, KubeObject, string]>([
    ['in a namespace where anybody may write labels', gateway({ namespace: 'team-a' }), 'PodNotInjected'],
    ['with another value of the label', gateway({ labels: { 'mcpkeyring.io/gateway': 'yes' } }), 'PodNotInjected'],
    ['while it terminates', gateway({ deletionTimestamp: '2026-11-25T02:00:00Z' }), 'PodTerminating'],
  ])('is none %s', (...[, pod, refusal]) => {
    expect(judgeRole(pod, leasing(linear), world)).toEqual({ kind: 'mayNot', refusal });
  });
});

test('a sidecar is given no key for a server that is remote now', () => {
  const pod = agent({ labels: { 'mcpkeyring.io/server': 'linear', 'mcpkeyring.io/injected': 'true' } });
  expect(judgeRole(pod, leasing(linear), world)).toEqual({ kind: 'mayNot', refusal: 'ServerIsRemote' });
  const reporting = { server: linear, purpose: 'reporting' } as const;
  expect(judgeRole(pod, reporting, world)).toEqual({ kind: 'may', role: 'server' });
});
