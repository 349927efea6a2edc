import { describe, expect, test } from 'vitest';

import { judgePod, PodIdentifier, readBoundToken } from '#operator/identity/pod-identity.ts';
import type { PodAction, RoleWorld } from '#operator/identity/pod-roles.ts';
import type { ReviewedUser } from '#operator/identity/token-review.ts';
import { TokenReviewer } from '#operator/identity/token-review.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { fakeReviews } from '#test/support/fake-reviews.ts';
import { memorySource } from '#test/support/memory-source.ts';

const user: ReviewedUser = {
  username: 'system:serviceaccount:team-a:default',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:team-a', 'system:authenticated'],
  extra: {
    'authentication.kubernetes.io/pod-name': ['github-0'],
    'authentication.kubernetes.io/pod-uid': ['uid-1'],
    'authentication.kubernetes.io/node-name': ['node-1'],
    'authentication.kubernetes.io/credential-id': ['JTI=abc'],
  },
};

function without(key: string): ReviewedUser {
  const { [`authentication.kubernetes.io/${key}`]: _, ...extra } = user.extra;
  return { ...user, extra };
}

function withExtra(key: string, values: readonly string[]): ReviewedUser {
  return { ...user, extra: { ...user.extra, [`authentication.kubernetes.io/${key}`]: values } };
}

describe('what a pod token says', () => {
  test('the pod, its namespace, account, node and credential id', () => {
    expect(readBoundToken(user)).toEqual({
      uid: 'uid-1',
      name: 'github-0',
      namespace: 'team-a',
      serviceAccount: 'default',
      node: 'node-1',
      credentialId: 'JTI=abc',
    });
  });

  test('does without node and credential id on an older API server', () => {
    const { node, credentialId, ...rest } = readBoundToken(user) as unknown as Record<string, string>;
    expect(readBoundToken({ ...user, extra: { ...without('node-name').extra } })).toMatchObject({ credentialId });
    expect(readBoundToken(without('credential-id'))).toEqual({ ...rest, node });
  });

  test.each<[string, ReviewedUser, string]>([
    ['a human user', { ...user, username: 'alice' }, 'NotAServiceAccount'],
    ['a node', { ...user, username: 'system:node:node-1' }, 'NotAServiceAccount'],
    ['five parts', { ...user, username: `${user.username}:x` }, 'NotAServiceAccount'],
    ['three parts', { ...user, username: 'system:serviceaccount:team-a' }, 'NotAServiceAccount'],
    ['an empty namespace', { ...user, username: 'system:serviceaccount::default' }, 'NotAServiceAccount'],
    ['an empty account', { ...user, username: 'system:serviceaccount:team-a:' }, 'NotAServiceAccount'],
    ['a namespace that is no DNS label', { ...user, username: 'system:serviceaccount:Team_A:x' }, 'NotAServiceAccount'],
    ['a namespace with a dot', { ...user, username: 'system:serviceaccount:team.a:x' }, 'NotAServiceAccount'],
    ['an account with a slash', { ...user, username: 'system:serviceaccount:team-a:a/b' }, 'NotAServiceAccount'],
    ['another prefix', { ...user, username: 'system:serviceaccounts:team-a:default' }, 'NotAServiceAccount'],
    ['no group', { ...user, groups: [] }, 'ServiceAccountGroupMissing'],
    [
      'the group of another namespace only',
      { ...user, groups: ['system:serviceaccounts', 'system:serviceaccounts:team-b'] },
      'ServiceAccountGroupMissing',
    ],
    ['the namespace group only', { ...user, groups: ['system:serviceaccounts:team-a'] }, 'ServiceAccountGroupMissing'],
    ['no pod name (a token that is bound to no pod)', without('pod-name'), 'NotBoundToAPod'],
    ['no pod uid', without('pod-uid'), 'NotBoundToAPod'],
    ['an empty pod uid', withExtra('pod-uid', ['']), 'NotBoundToAPod'],
    ['no value for the pod uid', withExtra('pod-uid', []), 'NotBoundToAPod'],
    ['two pod uids', withExtra('pod-uid', ['uid-1', 'uid-2']), 'NotBoundToAPod'],
  ])('nothing, with %s', (_, wrong, refusal) => {
    expect(readBoundToken(wrong)).toBe(refusal);
  });
});

const pod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'github-0',
    namespace: 'team-a',
    uid: 'uid-1',
    labels: { 'mcpkeyring.io/injected': 'true', 'mcpkeyring.io/server': 'github' },
  },
};
const question: PodAction = { server: { namespace: 'team-a', name: 'github' }, purpose: 'leasing' };
/** Two organizations, of which one has both namespaces; no server is remote. */
const world: RoleWorld = {
  organizationOf: (namespace) => ({ 'team-a': 'default', 'team-b': 'default', 'team-x': 'x' })[namespace],
  isRemote: () => false,
  operatorNamespace: 'mcp-keyring',
};
const token = { uid: 'uid-1', name: 'github-0', namespace: 'team-a', serviceAccount: 'default' };

function podWith(metadata: Partial<KubeObject['metadata']>): KubeObject {
  return { ...pod, metadata: { ...pod.metadata, ...metadata } };
}

describe('what a pod may act for', () => {
  test('its own server', () => {
    expect(judgePod(token, pod, { action: question, world })).toEqual({ ...token, role: 'server' });
  });

  test.each<[string, KubeObject | undefined, string]>([
    ['a pod that is gone', undefined, 'PodUnknown'],
    ['a pod of another name under that uid', podWith({ name: 'github-1' }), 'PodUnknown'],
    ['a pod of another namespace under that uid', podWith({ namespace: 'team-b' }), 'NamespaceMismatch'],
    ['a terminating pod', podWith({ deletionTimestamp: '2026-11-24T10:00:00Z' }), 'PodTerminating'],
    ['a pod without sidecar', podWith({ labels: { 'mcpkeyring.io/server': 'github' } }), 'PodNotInjected'],
    [
      'a pod whose sidecar label says no',
      podWith({ labels: { 'mcpkeyring.io/server': 'github', 'mcpkeyring.io/injected': 'false' } }),
      'PodNotInjected',
    ],
    ['a pod without labels', podWith({ labels: undefined as unknown as Record<string, string> }), 'PodNotInjected'],
    [
      'a pod of another server',
      podWith({ labels: { 'mcpkeyring.io/server': 'jira', 'mcpkeyring.io/injected': 'true' } }),
      'PodServesAnotherServer',
    ],
    ['a pod without server', podWith({ labels: { 'mcpkeyring.io/injected': 'true' } }), 'PodServesAnotherServer'],
  ])('nothing, for %s', (_, wrong, refusal) => {
    expect(judgePod(token, wrong, { action: question, world })).toBe(refusal);
  });

  test('nothing in another namespace, even for a server of the same name', () => {
    const asked = { ...question, server: { namespace: 'team-b', name: 'github' } };
    expect(judgePod(token, pod, { action: asked, world })).toBe('NamespaceMismatch');
  });

  test('may still report what it did while it terminates, and nothing else of it is excused', () => {
    const reporting = { ...question, purpose: 'reporting' } as const;
    expect(
      judgePod(token, podWith({ deletionTimestamp: '2026-11-24T10:00:00Z' }), { action: reporting, world }),
    ).toMatchObject({
      role: 'server',
    });
    expect(
      judgePod(token, podWith({ labels: { 'mcpkeyring.io/server': 'jira', 'mcpkeyring.io/injected': 'true' } }), {
        action: reporting,
        world,
      }),
    ).toBe('PodServesAnotherServer');
  });
});

describe('identifying a pod', () => {
  function setUp() {
    const reviews = fakeReviews(({ token: sent }) =>
      sent === 'pod-token'
        ? { authenticated: true, audiences: ['mcp-keyring-broker'], user }
        : { authenticated: false },
    );
    const reviewer = new TokenReviewer({ client: reviews, monotonicMs: () => 0 });
    const pods = memorySource([pod]);
    const podOfUid = (uid: string): KubeObject | undefined => pods.store.getByUid(uid);
    return { reviews, pods, identifier: new PodIdentifier({ reviewer, podOfUid, ...world }) };
  }

  test('asks with the broker audience only', async () => {
    const { identifier, reviews } = setUp();
    const result = await identifier.identify({ ...question, token: 'pod-token' });
    expect(result).toMatchObject({ kind: 'verified', pod: { uid: 'uid-1', credentialId: 'JTI=abc' } });
    expect(reviews.asked).toEqual([{ token: 'pod-token', audiences: ['mcp-keyring-broker'] }]);
  });

  test('looks at the pod each time although the token check is cached', async () => {
    const { identifier, pods, reviews } = setUp();
    await identifier.identify({ ...question, token: 'pod-token' });
    pods.remove(pod);
    expect(await identifier.identify({ ...question, token: 'pod-token' })).toMatchObject({ reason: 'PodUnknown' });
    expect(reviews.asked).toHaveLength(1);
  });

  test('refuses a pod that was made anew under the same name', async () => {
    const { identifier, pods } = setUp();
    pods.remove(pod);
    pods.put(podWith({ uid: 'uid-2' }));
    expect(await identifier.identify({ ...question, token: 'pod-token' })).toMatchObject({ reason: 'PodUnknown' });
  });

  test.each([undefined, ''])('refuses without asking when no token was sent (%o)', async (missing) => {
    const { identifier, reviews } = setUp();
    expect(await identifier.identify({ ...question, token: missing })).toMatchObject({ reason: 'TokenMissing' });
    expect(reviews.asked).toHaveLength(0);
  });

  test('refuses a token that the API server does not know', async () => {
    const { identifier } = setUp();
    expect(await identifier.identify({ ...question, token: 'other' })).toEqual({
      kind: 'refused',
      reason: 'NotAuthenticated',
    });
  });
});
