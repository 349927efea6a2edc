import { describe, expect, test } from 'vitest';

import type { OrganizationAction } from '#operator/controllers/organization/decide.ts';
import { decideOrganization } from '#operator/controllers/organization/decide.ts';
import type { Step } from '#operator/controllers/decision.ts';
import type { OidcIssuer, Probe } from '#operator/controllers/organization/issuer-prober.ts';
import type { ObservedOrganization, SelectedNamespace } from '#operator/controllers/organization/observe.ts';
import type { ConfigMap, RoleBinding } from '#operator/kube/resources.ts';
import { verifies } from '#test/requirements.ts';

import { brief, messageOf, now, organization } from './fixtures.ts';

const issuer: OidcIssuer = {
  type: 'OIDC',
  name: 'login',
  issuerURL: 'https://login.example.com',
  audiences: ['mcp'],
  claims: { subject: 'sub', groups: 'groups', name: 'email' },
};
const reachable: Probe = { result: { kind: 'reachable' }, dueInMs: 200_000 };

function selected(name: string, change: Partial<SelectedNamespace> = {}): SelectedNamespace {
  return { name, rivals: [], needsCa: true, terminating: false, ...change };
}

function published(namespace: string, owner = 'acme'): ConfigMap {
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Organization', name: owner, uid: `uid-${owner}` }];
  const metadata = { name: 'mcp-keyring-ca', namespace, uid: `uid-cm-${namespace}`, ownerReferences };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata };
}

function observed(change: Partial<ObservedOrganization> = {}): ObservedOrganization {
  return {
    object: organization(),
    namespaces: [selected('team-a')],
    excluded: [],
    issuers: [{ kind: 'oidc', issuer, probe: reachable }],
    caBundle: 'PEM',
    kekId: 'local-0a1b2c3d',
    published: [],
    adminBindings: [],
    ...change,
  };
}

/** `apply team-a`, `delete team-b`, `probe https://…`. */
function stepsOf({ steps }: { readonly steps: readonly Step<OrganizationAction>[] }): readonly string[] {
  return steps.map((step) => {
    if (step.kind === 'act') return `probe ${step.action.issuer.issuerURL}`;
    if (step.kind === 'apply') return `apply ${step.desired.metadata.namespace}`;
    return step.kind === 'delete' ? `delete ${step.ref.namespace} ${step.precondition.preconditionUid}` : step.kind;
  });
}

describe('the status of an Organization', () => {
  const down: Probe = {
    result: { kind: 'unreachable', reason: 'DiscoveryFailed', message: 'the request failed (ECONNREFUSED)' },
    dueInMs: 5_000,
  };

  test.each<[string, Partial<ObservedOrganization>, string, RegExp]>([
    [
      'is ready when every issuer answered',
      {},
      'Ready=True/Serving IssuersReachable=True/AllReachable',
      /namespace team-a/,
    ],
    [
      'says when no namespace is selected',
      { namespaces: [] },
      'Ready=True/Serving IssuersReachable=True/AllReachable',
      /label one/,
    ],
    [
      'is unknown until an issuer has answered',
      { issuers: [{ kind: 'oidc', issuer, probe: { result: undefined, dueInMs: 0 } }] },
      'Ready=Unknown/CheckingIssuers IssuersReachable=Unknown/Checking',
      /login\.example\.com/,
    ],
    [
      'names the issuer that does not answer, and why',
      { issuers: [{ kind: 'oidc', issuer, probe: down }] },
      'Ready=False/IssuersUnreachable IssuersReachable=False/DiscoveryFailed',
      /login at https:\/\/login\.example\.com: the request failed \(ECONNREFUSED\)/,
    ],
    [
      'names the ConfigMap that is not there',
      { issuers: [{ kind: 'caBundleMissing', name: 'login', configMap: 'idp-ca', key: 'ca.crt' }] },
      'Ready=False/IssuersUnreachable IssuersReachable=False/CABundleNotFound',
      /ConfigMap idp-ca with key ca\.crt/,
    ],
    [
      'does not take this cluster for an OpenID Connect provider',
      { issuers: [{ kind: 'clusterIssuer', name: 'sneaky' }] },
      'Ready=False/IssuersUnreachable IssuersReachable=False/IssuerIsCluster',
      /sneaky.*type: Kubernetes/,
    ],
    [
      'asks nobody when the cluster is the issuer',
      { issuers: [{ kind: 'kubernetes' }] },
      'Ready=True/Serving IssuersReachable=True/NoOIDCIssuers',
      /./,
    ],
  ])('%s', (...[, change, conditions, message]) => {
    const { status } = decideOrganization(observed(change), now);
    expect(brief(status)).toBe(
      `${conditions} NamespacesConflict=False/NoConflict NamespacesExcluded=False/NoneExcluded KeyProtection=False/LocalKEK`,
    );
    expect(messageOf(status)).toMatch(message);
  });

  test('names what it selects and can never have', () => {
    const { status } = decideOrganization(observed({ excluded: ['kube-system', 'kube-public'] }), now);
    expect(brief(status)).toContain('Ready=True/Serving');
    expect(brief(status)).toContain('NamespacesExcluded=True/AdmissionDoesNotLook');
    expect(messageOf(status, 'NamespacesExcluded')).toContain('kube-public, kube-system');
    expect(status?.namespaces).toBe(1);
  });

  test('names contested namespaces and who contests them, and counts only its own', () => {
    const namespaces = [selected('team-a'), selected('team-b', { rivals: ['rival'] })];
    const { status } = decideOrganization(observed({ namespaces }), now);
    expect(brief(status)).toContain('Ready=False/NamespacesConflict');
    expect(brief(status)).toContain('NamespacesConflict=True/SelectedByAnother');
    expect(messageOf(status, 'NamespacesConflict')).toContain('team-b (rival)');
    expect(status).toMatchObject({ namespaces: 1, encryption: { provider: 'local', keyId: 'local-0a1b2c3d' } });
  });
});

describe('a new leader that has asked no issuer yet', () => {
  const asking: ObservedOrganization['issuers'] = [{ kind: 'oidc', issuer, probe: { result: undefined, dueInMs: 0 } }];
  const before = decideOrganization(observed(), now).status;

  test('keeps what the last one found', () => {
    const object = { ...organization(), ...(before === undefined ? {} : { status: before }) };
    expect(decideOrganization(observed({ object, issuers: asking }), now).status).toEqual(before);
  });

  test('does not, once the spec has changed', () => {
    const metadata = { ...organization().metadata, generation: 4 };
    const object = { ...organization(), metadata, ...(before === undefined ? {} : { status: before }) };
    expect(brief(decideOrganization(observed({ object, issuers: asking }), now).status)).toContain('Ready=Unknown');
  });
});

describe('the CA bundle', () => {
  test('goes where servers are, and nowhere else', () => {
    const namespaces = [
      selected('team-a'),
      selected('quiet', { needsCa: false }),
      selected('going', { terminating: true }),
    ];
    expect(stepsOf(decideOrganization(observed({ namespaces }), now))).toEqual(['apply team-a']);
  });

  test('is taken back from a namespace that left, by uid', () => {
    const change = { published: [published('team-a'), published('team-b'), published('others', 'rival')] };
    expect(stepsOf(decideOrganization(observed(change), now))).toEqual(['apply team-a', 'delete team-b uid-cm-team-b']);
  });

  test('stays and is kept current in a namespace that became contested, but is not brought to one', () => {
    const namespaces = [selected('team-a', { rivals: ['rival'] }), selected('team-b', { rivals: ['rival'] })];
    const decision = decideOrganization(observed({ namespaces, published: [published('team-a')] }), now);
    expect(stepsOf(decision)).toEqual(['apply team-a']);
  });

  test('is neither published nor taken back before there is one', () => {
    const decision = decideOrganization(observed({ caBundle: undefined, published: [published('team-b')] }), now);
    expect(stepsOf(decision)).toEqual([]);
  });
});

describe('the rights of admins', () => {
  const object = organization({ spec: { admins: { users: ['ann'], groups: ['platform'] } } });
  const binding = (namespace: string, owner = 'acme'): RoleBinding => {
    const { metadata } = published(namespace, owner);
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'mcp-keyring-admin' };
    const named = { ...metadata, name: 'mcp-keyring-organization-admins' };
    return { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: named, roleRef };
  };
  const rightsIn = (change: Partial<ObservedOrganization>): readonly string[] =>
    stepsOf(decideOrganization(observed({ object, caBundle: undefined, ...change }), now));

  test('are given in every namespace that is ours beyond doubt, whether servers are there or not', () => {
    verifies('rights:admins');
    const namespaces = [
      selected('team-a'),
      selected('quiet', { needsCa: false }),
      selected('going', { terminating: true }),
      selected('contested', { rivals: ['rival'] }),
    ];
    expect(rightsIn({ namespaces })).toEqual(['apply team-a', 'apply quiet']);
  });

  test('are taken back from namespaces that left or are contested, and never those of another organization', () => {
    verifies('rights:admins');
    const adminBindings = [binding('team-a'), binding('left'), binding('contested'), binding('others', 'rival')];
    const namespaces = [selected('team-a'), selected('contested', { rivals: ['rival'] })];
    expect(rightsIn({ namespaces, adminBindings })).toEqual([
      'apply team-a',
      'delete left uid-cm-left',
      'delete contested uid-cm-contested',
    ]);
  });

  test.each([undefined, {}, { users: [], groups: [] }])('are taken back when the admins are %j', (admins) => {
    verifies('rights:admins');
    const without = organization({ spec: admins === undefined ? {} : { admins } });
    const change = { object: without, adminBindings: [binding('team-a')] };
    expect(rightsIn(change)).toEqual(['delete team-a uid-cm-team-a']);
  });

  test('come last, so that nothing else waits for them', () => {
    const issuers: ObservedOrganization['issuers'] = [
      { kind: 'oidc', issuer, probe: { result: undefined, dueInMs: 0 } },
    ];
    const steps = decideOrganization(observed({ object, issuers }), now).steps;
    const last = steps.at(-1);
    expect(last?.kind === 'apply' && last.desired.kind).toBe('RoleBinding');
  });
});

describe('asking issuers', () => {
  const probeOf = (probe: Probe): Partial<ObservedOrganization> => ({
    namespaces: [],
    issuers: [{ kind: 'oidc', issuer, probe }],
  });

  test('happens when due, and the answer brings us back', () => {
    const decision = decideOrganization(observed(probeOf({ result: undefined, dueInMs: 0 })), now);
    expect(stepsOf(decision)).toEqual(['probe https://login.example.com']);
    expect(decision.requeueAfterMs).toBeUndefined();
  });

  test('does not happen while it is being asked', () => {
    const decision = decideOrganization(observed(probeOf({ result: undefined, dueInMs: undefined })), now);
    expect(stepsOf(decision)).toEqual([]);
  });

  test('is planned for later otherwise', () => {
    const decision = decideOrganization(observed(probeOf(reachable)), now);
    expect(stepsOf(decision)).toEqual([]);
    expect(decision.requeueAfterMs).toBe(200_000);
  });
});
