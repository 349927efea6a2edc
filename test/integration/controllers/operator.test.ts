import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, OperatorProcess, sidecarImage } from './installation.ts';
import { brief, endpointSlice, find, type Found, namespace, organization, pod, server } from './objects.ts';

const patience = { timeout: 15_000, interval: 200 };

let plane: ControlPlane;
let operator: OperatorProcess;

beforeAll(async () => {
  plane = await startControlPlane();
  await installPrerequisites(plane);
  operator = await OperatorProcess.start(plane);
  await operator.said('this replica is the leader');
});

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

async function conditionsOf(...what: readonly string[]): Promise<string> {
  return brief(await find(plane, ...what));
}

describe('an McpServer', () => {
  beforeAll(async () => {
    await applyAll(plane, [organization('acme'), namespace('team-a', { org: 'acme' }), server('team-a', 'github')]);
  });

  test('gets a Service to the sidecar and a NetworkPolicy that closes everything else', async () => {
    await expect
      .poll(async () => (await find(plane, 'service/github-mcp', '-n', 'team-a'))?.['spec'], patience)
      .toMatchObject({
        selector: { 'mcpkeyring.io/server': 'github' },
        ports: [{ port: 80, targetPort: 15080 }],
      });
    expect((await find(plane, 'networkpolicy/github-mcp', '-n', 'team-a'))?.['spec']).toMatchObject({
      podSelector: { matchLabels: { 'mcpkeyring.io/server': 'github' } },
      ingress: [
        { ports: [{ port: 15080 }] },
        {
          ports: [{ port: 15082 }],
          from: [{ namespaceSelector: { matchLabels: { 'mcpkeyring.io/scrape': 'true' } } }],
        },
      ],
    });
  });

  test('says what is missing until there are pods, then serves, and notices an outdated sidecar', async () => {
    const look = () => conditionsOf('mcps/github', '-n', 'team-a');
    await expect.poll(look, patience).toContain('Ready=False/NoPods');
    await applyAll(plane, [pod('team-a', 'github-1', { server: 'github', sidecarImage })]);
    await expect.poll(look, patience).toContain('Ready=False/PodsNotReady SidecarsCurrent=True/AllCurrent');
    await applyAll(plane, [endpointSlice('team-a', 'github', { 'github-1': true })]);
    await expect.poll(look, patience).toContain('Ready=True/Serving SidecarsCurrent=True/AllCurrent');
    await applyAll(plane, [endpointSlice('team-a', 'github', { 'github-1': false })]);
    await expect.poll(look, patience).toContain('Ready=False/PodsNotReady');
    await applyAll(plane, [pod('team-a', 'github-0', { server: 'github', sidecarImage: 'older' })]);
    await expect.poll(look, patience).toContain('SidecarsCurrent=False/SidecarsOutdated');
    const ended = JSON.stringify({ status: { phase: 'Succeeded' } });
    await applyAll(plane, [pod('team-a', 'github-2', { server: 'github', sidecarImage })]);
    await plane.kubectl(['patch', 'pod/github-2', '-n', 'team-a', '--subresource=status', '--type=merge', '-p', ended]);
    const sidecars = async () => (await find(plane, 'mcps/github', '-n', 'team-a'))?.status?.['sidecars'];
    await expect.poll(sidecars, patience).toEqual({ current: 1, outdated: 1 });
    const found = await find(plane, 'mcps/github', '-n', 'team-a');
    expect(found?.status).toMatchObject({
      url: 'http://github-mcp.team-a.svc/mcp',
      observedGeneration: found?.metadata.generation,
      sidecars: { current: 1, outdated: 1 },
    });
  });

  test('is repaired when somebody changes or deletes what it owns', async () => {
    await plane.kubectl([
      'patch',
      'service/github-mcp',
      '-n',
      'team-a',
      '--type=merge',
      '-p',
      '{"spec":{"selector":{"app":"thief"}}}',
    ]);
    const selector = async () =>
      ((await find(plane, 'service/github-mcp', '-n', 'team-a'))?.['spec'] as { selector?: object })?.selector;
    await expect.poll(selector, patience).toEqual({ 'mcpkeyring.io/server': 'github' });
    const before = await find(plane, 'networkpolicy/github-mcp', '-n', 'team-a');
    await plane.kubectl(['delete', 'networkpolicy/github-mcp', '-n', 'team-a']);
    await expect
      .poll(
        async () =>
          (await find(plane, 'networkpolicy/github-mcp', '-n', 'team-a'))?.metadata.uid ?? before?.metadata.uid,
        patience,
      )
      .not.toBe(before?.metadata.uid);
  });

  test('that is managed gets a Deployment, and loses it when it is managed no more', async () => {
    const managed = { managed: { image: 'registry.example.com/gitlab:1', port: 8080 } };
    await applyAll(plane, [server('team-a', 'gitlab', { upstream: managed })]);
    await expect
      .poll(async () => (await find(plane, 'deployment/gitlab-mcp', '-n', 'team-a'))?.metadata.name, patience)
      .toBe('gitlab-mcp');
    await expect
      .poll(() => conditionsOf('mcps/gitlab', '-n', 'team-a'), patience)
      .toContain('Reconciling=True/DeploymentProgressing');
    await applyAll(plane, [server('team-a', 'gitlab')]);
    await expect.poll(async () => find(plane, 'deployment/gitlab-mcp', '-n', 'team-a'), patience).toBeUndefined();
    await expect.poll(() => conditionsOf('mcps/gitlab', '-n', 'team-a'), patience).not.toContain('Reconciling');
    await plane.kubectl(['delete', 'mcps/gitlab', '-n', 'team-a']);
  });

  test('does not touch a Service of somebody else that has the name it needs', async () => {
    const metadata = { name: 'taken-mcp', namespace: 'team-a' };
    const spec = { selector: { app: 'precious' }, ports: [{ port: 1 }] };
    await applyAll(plane, [{ apiVersion: 'v1', kind: 'Service', metadata, spec }, server('team-a', 'taken')]);
    const look = () => conditionsOf('mcps/taken', '-n', 'team-a');
    await expect.poll(look, patience).toContain('Ready=False/NameTaken Stalled=True/NameTaken');
    expect((await find(plane, 'service/taken-mcp', '-n', 'team-a'))?.['spec']).toMatchObject({
      selector: { app: 'precious' },
    });
    await plane.kubectl(['delete', 'service/taken-mcp', '-n', 'team-a']);
    await expect.poll(look, patience).toContain('Ready=False/NoPods');
  });

  test('in a namespace without organization serves nobody until the namespace is labelled', async () => {
    await applyAll(plane, [namespace('lost', {}), server('lost', 'github')]);
    const look = () => conditionsOf('mcps/github', '-n', 'lost');
    await expect.poll(look, patience).toContain('Ready=False/NamespaceHasNoOrganization');
    expect(await find(plane, 'service/github-mcp', '-n', 'lost')).toBeUndefined();
    await plane.kubectl(['label', 'namespace/lost', 'org=acme']);
    await expect.poll(look, patience).toContain('Ready=False/NoPods');
    expect(await find(plane, 'service/github-mcp', '-n', 'lost')).toBeDefined();
  });

  test('names the policies that bind it', async () => {
    const policy = {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'UserKeyPolicy',
      metadata: { name: 'strict', namespace: 'team-a' },
      spec: { servers: { names: ['github'] }, keys: { required: ['x-team'] } },
    };
    await applyAll(plane, [policy]);
    await expect
      .poll(() => conditionsOf('mcps/github', '-n', 'team-a'), patience)
      .toContain('PolicyBound=True/PoliciesBound');
    await expect.poll(() => conditionsOf('ukp/strict', '-n', 'team-a'), patience).toBe('Ready=True/Bound');
    await plane.kubectl(['delete', 'ukp/strict', '-n', 'team-a']);
    await expect
      .poll(() => conditionsOf('mcps/github', '-n', 'team-a'), patience)
      .toContain('PolicyBound=False/NoPolicy');
  });
});

describe('an Organization', () => {
  test('brings the CA to namespaces with servers, and takes it back', async () => {
    await applyAll(plane, [
      organization('beta'),
      namespace('beta-1', { org: 'beta' }),
      namespace('beta-2', { org: 'beta' }),
      server('beta-1', 'notes'),
    ]);
    const caOf = (name: string) => find(plane, 'configmap/mcp-keyring-ca', '-n', name);
    await expect
      .poll(async () => (await caOf('beta-1'))?.['data'], patience)
      .toMatchObject({
        'ca.crt': expect.stringContaining('BEGIN CERTIFICATE'),
      });
    expect(await caOf('beta-2')).toBeUndefined();
    await expect
      .poll(() => conditionsOf('org/beta'), patience)
      .toBe(
        'IssuersReachable=True/NoOIDCIssuers KeyProtection=False/LocalKEK NamespacesConflict=False/NoConflict NamespacesExcluded=False/NoneExcluded Ready=True/Serving',
      );
    await plane.kubectl(['delete', 'mcps/notes', '-n', 'beta-1']);
    await expect.poll(() => caOf('beta-1'), patience).toBeUndefined();
  });

  test('that selects everything gets nothing where admission does not look', async () => {
    const selector = { namespaceSelector: { matchExpressions: [{ key: 'no-such-label', operator: 'DoesNotExist' }] } };
    await applyAll(plane, [organization('greedy', selector), server('kube-system', 'notes')]);
    await expect
      .poll(() => conditionsOf('org/greedy'), patience)
      .toContain('NamespacesExcluded=True/AdmissionDoesNotLook');
    const look = () => conditionsOf('mcps/notes', '-n', 'kube-system');
    await expect.poll(look, patience).toContain('Ready=False/NamespaceHasNoOrganization');
    expect(await find(plane, 'configmap/mcp-keyring-ca', '-n', 'kube-system')).toBeUndefined();
    expect(await find(plane, 'service/notes-mcp', '-n', 'kube-system')).toBeUndefined();
    await plane.kubectl(['delete', 'org/greedy']);
    await plane.kubectl(['delete', 'mcps/notes', '-n', 'kube-system']);
  });

  test('says which issuer does not answer', async () => {
    const issuers = [{ name: 'login', type: 'OIDC', issuerURL: 'https://127.0.0.1:1', audiences: ['mcp'] }];
    await applyAll(plane, [organization('gamma', { identity: { issuers } })]);
    await expect.poll(() => conditionsOf('org/gamma'), patience).toContain('IssuersReachable=False/DiscoveryFailed');
    const found = await find(plane, 'org/gamma');
    expect(found?.status?.conditions?.find(({ type }) => type === 'Ready')?.message).toContain('https://127.0.0.1:1');
  });

  test('and its rival both say which namespace they quarrel about, and nobody serves it', async () => {
    const selector = { namespaceSelector: { matchExpressions: [{ key: 'contested', operator: 'Exists' }] } };
    await applyAll(plane, [
      organization('delta', selector),
      organization('epsilon', selector),
      namespace('contested', { contested: 'yes' }),
      server('contested', 'github'),
    ]);
    for (const name of ['delta', 'epsilon']) {
      await expect
        .poll(() => conditionsOf(`org/${name}`), patience)
        .toContain('NamespacesConflict=True/SelectedByAnother');
    }
    await expect
      .poll(() => conditionsOf('mcps/github', '-n', 'contested'), patience)
      .toContain('Ready=False/NamespacesConflict');
    expect(await find(plane, 'configmap/mcp-keyring-ca', '-n', 'contested')).toBeUndefined();
    await plane.kubectl(['delete', 'org/epsilon']);
    await expect.poll(() => conditionsOf('org/delta'), patience).toContain('Ready=True/Serving');
    await expect.poll(() => conditionsOf('mcps/github', '-n', 'contested'), patience).toContain('Ready=False/NoPods');
  });
});

describe('a made-up UserKey', () => {
  test('is stalled, and can be deleted without anything being destroyed', async () => {
    const name = 'github-aaaaaaaaaaaaaaaa';
    const subject = { issuer: 'kubernetes', id: 'ada', name: 'ada' };
    const metadata = { name, namespace: 'team-a' };
    await applyAll(plane, [
      {
        apiVersion: 'mcpkeyring.io/v1alpha1',
        kind: 'UserKey',
        metadata,
        spec: { serverRef: { name: 'github' }, subject },
      },
    ]);
    await expect
      .poll(() => conditionsOf(`uk/${name}`, '-n', 'team-a'), patience)
      .toBe('Ready=False/NameMismatch Stalled=True/NameMismatch');
    expect((await find(plane, `uk/${name}`, '-n', 'team-a'))?.metadata.finalizers).toBeUndefined();
    await plane.kubectl(['delete', `uk/${name}`, '-n', 'team-a', '--timeout=10s']);
  });
});

describe('in the steady state', () => {
  const everything = [
    'org',
    'mcps',
    'ukp',
    'uk',
    'service',
    'networkpolicy',
    'deployment',
    'configmap',
    'mutatingwebhookconfiguration',
  ];

  async function versions(): Promise<Record<string, string>> {
    const output = await plane.kubectl(['get', everything.join(','), '-A', '-o', 'json']);
    const { items } = JSON.parse(output) as { items: readonly (Found & { kind: string })[] };
    return Object.fromEntries(
      items.map(({ kind, metadata }) => [
        `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
        metadata.resourceVersion,
      ]),
    );
  }

  test('another replica that takes over writes nothing', async () => {
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const before = await versions();
    expect(await operator.stop()).toBe(0);
    await operator[Symbol.asyncDispose]();
    operator = await OperatorProcess.start(plane);
    await operator.said('this replica is the leader', 20_000);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(await versions()).toEqual(before);
  });
});
