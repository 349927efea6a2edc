import { describe, expect, test } from 'vitest';

import type { McpServer, McpServerRemote } from '#crds/v1alpha1/generated/mcp-server.ts';
import { annotations, labels } from '#crds/v1alpha1/names.ts';
import { currentTemplateHash } from '#operator/admission/inject/template.ts';
import { KeyCounts } from '#operator/controllers/mcp-server/key-counts.ts';
import { decideServer } from '#operator/controllers/mcp-server/decide.ts';
import { readyPodsIn } from '#operator/controllers/mcp-server/ready-pods.ts';
import type { KeyUse } from '#operator/shared-keys/key-use.ts';
import type { ObservedServer, ObservedSharedKey } from '#operator/controllers/mcp-server/observe.ts';
import type { Step } from '#operator/controllers/decision.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { Deployment, EndpointSlice, NetworkPolicy, Service } from '#operator/kube/resources.ts';

import { brief, header, managedServer, messageOf, now, policy, server } from './fixtures.ts';

const injection = {
  sidecarImage: 'registry.example.com/mcp-proxy@sha256:1',
  runAsUser: 65_532,
  brokerUrl: 'https://mcp-keyring-broker.mcp-keyring.svc:443',
};
const target = { namespace: 'team-a', name: 'github', port: 8080, path: '/mcp' };
const current = currentTemplateHash({}, target, injection) ?? '';
const noKeys = new KeyCounts().of({ namespace: 'team-a', name: 'github' });

function pod(
  name: string,
  change: { template?: string; injected?: boolean; deletionTimestamp?: string } = {},
): KubeObject {
  const { injected = true, deletionTimestamp } = change;
  const note = JSON.stringify({ version: 1, template: change.template ?? current });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'team-a',
      labels: { [labels.server]: 'github', ...(injected ? { [labels.injected]: 'true' } : {}) },
      annotations: injected ? { [annotations.sidecarStatus]: note } : {},
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
  };
}

function deployment(status: Deployment['status'], owner = 'uid-github'): Deployment {
  const ownerReferences = [{ apiVersion: 'v1', kind: 'McpServer', name: 'github', uid: owner }];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'github-mcp', namespace: 'team-a', uid: 'uid-deployment', generation: 5, ownerReferences },
    spec: { selector: {}, template: { spec: { containers: [] } } },
    ...(status === undefined ? {} : { status }),
  };
}

function observed(change: Partial<ObservedServer> = {}): ObservedServer {
  return {
    object: server(),
    tenancy: { kind: 'organization', name: 'acme', issuers: [] },
    policies: [],
    keyUse: 'own',
    sharedKey: undefined,
    discoveryKey: undefined,
    operatorNamespace: 'mcp-keyring',
    keys: noKeys,
    pods: [pod('github-1')],
    readyPods: new Set(['github-1']),
    injection,
    service: undefined,
    networkPolicy: undefined,
    deployment: undefined,
    gateway: { url: 'https://mcp.example.com', ready: true },
    caBundle: undefined,
    ...change,
  };
}

function refusing(version: number): McpServer {
  return { ...server(), status: { sharedKey: { rejected: { version, at: '2026-11-24T10:00:00Z' } } } };
}

function remoteServer(change: Partial<McpServerRemote> = {}): McpServer {
  return server({
    upstream: { remote: { url: 'https://mcp.vendor.example/mcp', allowPrivateAddresses: false, ...change } },
  });
}

function stepsOf({ steps }: { readonly steps: readonly Step[] }): readonly string[] {
  return steps.map((step) => {
    if (step.kind === 'apply') return `apply ${step.desired.kind} ${step.desired.metadata.name}`;
    return step.kind === 'delete' ? `delete ${step.type.kind} ${step.precondition.preconditionUid}` : step.kind;
  });
}

const allThere = { observedGeneration: 5, updatedReplicas: 2, availableReplicas: 2 };

describe('the status of an McpServer', () => {
  test.each<[string, Partial<ObservedServer>, string, RegExp]>([
    ['is ready with a pod that has the sidecar', {}, 'Ready=True/Serving', /1 pod$/],
    ['asks for pods when there are none', { pods: [] }, 'Ready=False/NoPods', /mcpkeyring\.io\/server=github/],
    [
      'does not count pods without the sidecar',
      { pods: [pod('p', { injected: false })] },
      'Ready=False/NoPods',
      /restart/,
    ],
    [
      'waits for a pod to become ready',
      { readyPods: new Set(['of-another-service']) },
      'Ready=False/PodsNotReady',
      /No pod is ready: github-1/,
    ],
    ['counts only ready pods', { pods: [pod('github-1'), pod('github-2')] }, 'Ready=True/Serving', /by 1 pod$/],
    [
      'does not count a ready pod without the sidecar',
      { pods: [pod('github-1', { injected: false })] },
      'Ready=False/NoPods',
      /./,
    ],
    [
      'does not count pods on their way out',
      { pods: [pod('p', { deletionTimestamp: 'now' })] },
      'Ready=False/NoPods',
      /./,
    ],
    [
      'says that nobody owns the namespace',
      { tenancy: { kind: 'none' } },
      'Ready=False/NamespaceHasNoOrganization',
      /label/,
    ],
    [
      'says that the namespace can never be served',
      { tenancy: { kind: 'none', excluded: true } },
      'Ready=False/NamespaceHasNoOrganization',
      /use another namespace/,
    ],
    [
      'names the organizations that quarrel',
      { tenancy: { kind: 'conflict', organizations: ['a', 'b'] } },
      'Ready=False/NamespacesConflict',
      /a, b/,
    ],
    [
      'is ready by the gateway when the server is remote',
      { object: remoteServer(), pods: [] },
      'Ready=True/Serving',
      /gateway/,
    ],
    [
      'says of a remote server that only agents reach it where there is no gateway',
      { object: remoteServer(), gateway: undefined },
      'Ready=True/ServedToAgentsOnly',
      /mcpkeyring\.io\/agent=true.*gateway\.enabled/,
    ],
    [
      'says without a gateway too that certificates are not there',
      { object: remoteServer({ caBundleRef: { name: 'vendor', key: 'ca.crt' } }), gateway: undefined },
      'Ready=False/CABundleNotFound',
      /vendor/,
    ],
    [
      'waits for a pod of the gateway',
      { object: remoteServer(), gateway: { url: 'https://mcp.example.com', ready: false } },
      'Ready=False/GatewayNotReady',
      /mcp-keyring-gateway/,
    ],
    [
      'names the certificates that are not there',
      { object: remoteServer({ caBundleRef: { name: 'vendor', key: 'ca.crt' } }) },
      'Ready=False/CABundleNotFound',
      /vendor.*ca\.crt.*mcpkeyring\.io\/ca-bundle/,
    ],
    [
      'is ready when they are',
      { object: remoteServer({ caBundleRef: { name: 'vendor', key: 'ca.crt' } }), caBundle: 'PEM' },
      'Ready=True/Serving',
      /gateway/,
    ],
    [
      'is ready when the managed Deployment is',
      { object: managedServer(), deployment: deployment(allThere) },
      'Ready=True/Serving',
      /2 pods/,
    ],
    [
      'waits for the Deployment to be made',
      { object: managedServer() },
      'Ready=False/DeploymentProgressing Reconciling=True/DeploymentProgressing',
      /0 of 2/,
    ],
    [
      'waits for the Deployment to notice the newest spec',
      { object: managedServer(), deployment: deployment({ ...allThere, observedGeneration: 4 }) },
      'Ready=False/DeploymentProgressing Reconciling=True/DeploymentProgressing',
      /2 of 2/,
    ],
    [
      'passes on why the Deployment cannot make pods',
      {
        object: managedServer(),
        deployment: deployment({ conditions: [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }] }),
      },
      'Ready=False/DeploymentUnavailable',
      /exceeded quota/,
    ],
    [
      'passes on that the Deployment got stuck',
      {
        object: managedServer(),
        deployment: deployment({
          conditions: [{ type: 'Progressing', status: 'False', message: 'deadline exceeded' }],
        }),
      },
      'Ready=False/DeploymentUnavailable',
      /deadline exceeded/,
    ],
    [
      'says that it is scaled to zero',
      { object: managedServer({ replicas: 0 }) },
      'Ready=False/NoPods',
      /replicas is 0/,
    ],
  ])('%s', (...[, change, conditions, message]) => {
    const { status } = decideServer(observed(change), now);
    const readiness = brief(status).replace(/ SidecarsCurrent=.*$/, '');
    expect(readiness).toBe(conditions);
    expect(messageOf(status)).toMatch(message);
    expect(status?.observedGeneration).toBe(2);
  });

  test.each<[string, Partial<ObservedServer>, string, RegExp]>([
    ['are current', {}, 'SidecarsCurrent=True/AllCurrent', /1 pod/],
    ['are unknown without pods', { pods: [] }, 'SidecarsCurrent=Unknown/NoPods', /./],
    ['are unknown without an image', { injection: undefined }, 'SidecarsCurrent=Unknown/SidecarImageUnknown', /helm/],
    [
      'are outdated after the image changed',
      { pods: [pod('old', { template: 'sha256:0' }), pod('new')] },
      'SidecarsCurrent=False/SidecarsOutdated',
      /old; restart/,
    ],
    [
      'are outdated after the port changed',
      { object: server({ upstream: { workload: { port: 9090, path: '/mcp' } } }) },
      'SidecarsCurrent=False/SidecarsOutdated',
      /github-1/,
    ],
    [
      'are outdated where there is none',
      { pods: [pod('bare', { injected: false }), pod('new')] },
      'SidecarsCurrent=False/SidecarsOutdated',
      /bare/,
    ],
  ])('sidecars %s', (...[, change, condition, message]) => {
    const { status } = decideServer(observed(change), now);
    expect(brief(status)).toContain(condition);
    expect(messageOf(status, 'SidecarsCurrent')).toMatch(message);
  });

  const usable = { secret: 'github-shared', problem: undefined, version: 7 };
  const shared = (change: Partial<ObservedSharedKey>, keyUse: KeyUse = 'shared') => ({
    keyUse,
    sharedKey: { ...usable, ...change },
  });
  const grant =
    'kubectl create role mcp-keyring-key-github -n team-a --verb=get,list,watch --resource=secrets --resource-name=github-shared' +
    ' && kubectl create rolebinding mcp-keyring-key-github -n team-a --role=mcp-keyring-key-github --serviceaccount=mcp-keyring:mcp-keyring-operator';
  test.each<[string, Partial<ObservedServer>, string, string]>([
    ['is usable', shared({}), 'SharedKeyUsable=True/SecretUsable', 'github-shared'],
    ['was not read', shared({ problem: { kind: 'unknown' } }), 'SharedKeyUsable=Unknown/SecretNotRead', 'not read yet'],
    ['may not be read', shared({ problem: { kind: 'forbidden' } }), 'SharedKeyUsable=False/SecretAccessMissing', grant],
    [
      'is not there',
      shared({ problem: { kind: 'notFound' } }),
      'SharedKeyUsable=False/SecretNotFound',
      'github-shared',
    ],
    [
      'is no Secret',
      shared({ problem: { kind: 'malformed' } }),
      'SharedKeyUsable=False/SecretValuesUnusable',
      'cannot be read',
    ],
    [
      'is one too many',
      shared({ problem: { kind: 'tooMany' } }),
      'SharedKeyUsable=False/TooManySecrets',
      '32 in a namespace',
    ],
    [
      'is not for the server',
      shared({ problem: { kind: 'notForServer' } }),
      'SharedKeyUsable=False/SecretNotForServer',
      'kubectl annotate secret github-shared -n team-a mcpkeyring.io/for-server=github',
    ],
    [
      'lacks a header',
      shared({ problem: { kind: 'headersMissing', headers: ['Authorization'] } }),
      'SharedKeyUsable=False/SecretIncomplete',
      'Authorization',
    ],
    [
      'has a value of two lines',
      shared({ problem: { kind: 'valuesUnusable', headers: ['Authorization'] } }),
      'SharedKeyUsable=False/SecretValuesUnusable',
      'Authorization',
    ],
    [
      'is refused by the upstream',
      { ...shared({}), object: refusing(7) },
      'SharedKeyUsable=False/SharedKeyRejected',
      'answers 401',
    ],
    [
      'is newer than the refused one',
      { ...shared({}), object: refusing(6) },
      'SharedKeyUsable=True/SecretUsable',
      'in use',
    ],
  ])('a shared key that %s is shown, and decides who is served', (...[, change, condition, message]) => {
    const { status } = decideServer(observed(change), now);
    expect(brief(status)).toContain(condition);
    expect(messageOf(status, 'SharedKeyUsable')).toContain(message);
    const [, isUsable = ''] = /=(\w+)/u.exec(condition) ?? [];
    expect(brief(status)).toContain(`Ready=${isUsable}`);
    // Where users may have keys of their own, they are served without it.
    const both = decideServer(observed({ ...change, keyUse: 'ownOrShared' }), now);
    expect(brief(both.status)).toContain('Ready=True/Serving');
  });

  test('a server that wants keys of users is not ready where the plan has none', () => {
    const { status } = decideServer(observed({ keyUse: 'refusedByPlan' }), now);
    expect(brief(status)).toContain('Ready=False/PlanHasNoUserKeys');
    expect(brief(status)).not.toContain('SharedKeyUsable');
  });

  test('counts keys and sidecars, names policies and gives the URL', () => {
    const keys = { ...noKeys, users: 3, configured: 1, missing: 1, invalid: 1 };
    const pods = [pod('a'), pod('b', { template: 'sha256:0' }), pod('c', { injected: false })];
    const { status } = decideServer(observed({ keys, pods, policies: [policy()] }), now);
    expect(status).toMatchObject({
      keys,
      sidecars: { current: 1, outdated: 2 },
      url: 'http://github-mcp.team-a.svc/mcp',
    });
    expect(brief(status)).toContain('PolicyBound=True/PoliciesBound');
    expect(messageOf(status, 'PolicyBound')).toContain('strict');
  });

  test('names headers of which no value can be set, because their pattern is too large', () => {
    const asking = (pattern: string) => {
      const object = server({ headers: [header('Authorization', { format: { pattern } })] });
      return decideServer(observed({ object }), now).status;
    };
    expect(brief(asking('(?:[a-z]{100}-){50}'))).toContain('FormatsUsable=False/PatternTooLarge');
    expect(messageOf(asking('(?:[a-z]{100}-){50}'), 'FormatsUsable')).toMatch(/Authorization.*fewer counted repeats/u);
    expect(brief(asking('ghp_[A-Za-z0-9]{36}'))).not.toContain('FormatsUsable');
  });

  test('is not confused by a pod whose note is not ours', () => {
    const forged = {
      ...pod('forged'),
      metadata: { ...pod('forged').metadata, annotations: { [annotations.sidecarStatus]: '{"template":7' } },
    };
    const { status } = decideServer(observed({ pods: [forged] }), now);
    expect(status?.sidecars).toEqual({ current: 0, outdated: 1 });
  });
});

describe('ready pods', () => {
  const slice = (...endpoints: NonNullable<EndpointSlice['endpoints']>): EndpointSlice => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'github-mcp-x', namespace: 'team-a' },
    endpoints,
  });
  const to = (name: string, conditions?: { ready?: boolean; terminating?: boolean }) => ({
    targetRef: { kind: 'Pod', name },
    ...(conditions === undefined ? {} : { conditions }),
  });

  test('are those that requests are sent to, each once', () => {
    const ipv4 = slice(
      to('a', { ready: true }),
      to('b', { ready: false }),
      to('c', { ready: true, terminating: true }),
    );
    const ipv6 = slice(to('a', { ready: true }), to('unsaid'), { addresses: ['10.0.0.1'] });
    expect([...readyPodsIn([ipv4, ipv6])]).toEqual(['a', 'unsaid']);
    expect(readyPodsIn([{ ...slice(), endpoints: undefined } as never]).size).toBe(0);
  });
});

describe('what an McpServer makes', () => {
  test('is first the NetworkPolicy, then the Service', () => {
    expect(stepsOf(decideServer(observed(), now))).toEqual([
      'apply NetworkPolicy github-mcp',
      'apply Service github-mcp',
    ]);
  });

  test('is a Deployment too when it is managed', () => {
    const decision = decideServer(observed({ object: managedServer() }), now);
    expect(stepsOf(decision)).toContain('apply Deployment github-mcp');
  });

  test('loses its own Deployment when it is managed no more, and nobody else’s', () => {
    expect(stepsOf(decideServer(observed({ deployment: deployment(allThere) }), now))).toContain(
      'delete Deployment uid-deployment',
    );
    const foreign = decideServer(observed({ deployment: deployment(allThere, 'uid-somebody') }), now);
    expect(stepsOf(foreign).join()).not.toContain('delete');
  });

  test.each<[string, Partial<ObservedServer>]>([
    ['no organization', { tenancy: { kind: 'none' } }],
    ['an excluded namespace', { tenancy: { kind: 'none', excluded: true } }],
    ['a contested namespace', { tenancy: { kind: 'conflict', organizations: ['a', 'b'] } }],
  ])('with %s is nothing, and nothing is taken away', (_name, change) => {
    const { steps } = decideServer(observed({ ...change, deployment: deployment(allThere) }), now);
    expect(steps).toEqual([]);
  });

  test('of a remote server is nothing, and what there was before goes away once its pods have', () => {
    const owned = (kind: string) => ({
      ...deployment(allThere),
      kind,
      metadata: { ...deployment(allThere).metadata, uid: kind },
    });
    const before = {
      object: remoteServer(),
      service: owned('Service') as unknown as Service,
      networkPolicy: owned('NetworkPolicy') as unknown as NetworkPolicy,
      deployment: owned('Deployment') as unknown as Deployment,
    };
    expect(stepsOf(decideServer(observed(before), now))).toEqual([
      'delete Service Service',
      'delete Deployment Deployment',
    ]);
    expect(stepsOf(decideServer(observed({ ...before, pods: [] }), now))).toContain(
      'delete NetworkPolicy NetworkPolicy',
    );
    expect(stepsOf(decideServer(observed({ object: remoteServer() }), now))).toEqual([]);
  });

  test('has the URL of the gateway when the server is remote', () => {
    const { status } = decideServer(observed({ object: remoteServer() }), now);
    expect(status?.url).toBe('https://mcp.example.com/team-a/github/mcp');
    expect(decideServer(observed({ object: remoteServer(), gateway: undefined }), now).status).not.toHaveProperty(
      'url',
    );
  });

  test('is left to the garbage collector once it is being deleted', () => {
    const object = server({ metadata: { deletionTimestamp: '2026-03-01T00:00:00Z' } });
    expect(decideServer(observed({ object }), now)).toEqual({ steps: [] });
  });
});
