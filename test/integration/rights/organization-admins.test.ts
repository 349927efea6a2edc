import { rm, writeFile } from 'node:fs/promises';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { verifies } from '#test/requirements.ts';

import { type GuardedCluster, startGuardedCluster } from '../charts/guarded-cluster.ts';
import type { Answer, Caller } from '../charts/raw-api.ts';
import { applyAll, OperatorProcess } from '../controllers/installation.ts';
import { namespace, organization } from '../controllers/objects.ts';

const patience = { timeout: 20_000, interval: 200 };
const organizations = '/apis/mcpkeyring.io/v1alpha1/organizations';
const bindings = '/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/rolebindings';
const bindingName = 'mcp-keyring-organization-admins';

let cluster: GuardedCluster;
let operator: OperatorProcess;
let kubeconfig: string;

/** The operator as its own ServiceAccount: with the rights of the chart and no others. */
beforeAll(async () => {
  cluster = await startGuardedCluster();
  const { plane } = cluster;
  const token = await plane.kubectl(['create', 'token', 'mcp-keyring-operator', '-n', 'mcp-keyring']);
  const config = JSON.parse(await plane.kubectl(['config', 'view', '--raw', '--flatten', '-o', 'json'])) as {
    users: { user: object }[];
  };
  for (const entry of config.users) entry.user = { token: token.trim() };
  kubeconfig = `${plane.kubeconfig}.operator`;
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  await applyAll(plane, [
    organization('acme', { admins: { users: ['ann'], groups: ['platform'] } }),
    organization('globex', { admins: { users: ['bob'] } }),
    ...['team-a', 'team-b'].map((name) => namespace(name, { org: 'acme' })),
    namespace('team-c', { org: 'globex' }),
    namespace('nobodys', {}),
  ]);
  operator = await OperatorProcess.start({ ...plane, kubeconfig });
  await operator.said('this replica is the leader', 60_000);
});

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await rm(kubeconfig, { force: true });
  await cluster?.[Symbol.asyncDispose]();
});

/** Namespaces in which `kubectl auth can-i` lets them end keys of others. */
async function administered({ user, groups = [] }: Caller): Promise<string> {
  const as = [`--as=${user}`, ...groups.map((group) => `--as-group=${group}`)];
  const all = ['team-a', 'team-b', 'team-c', 'nobodys', 'mcp-keyring', 'default'];
  const answers = await Promise.all(
    all.map((name) =>
      cluster.plane
        .kubectl(['auth', 'can-i', 'revoke', 'mcpservers.mcpkeyring.io', '-n', name, ...as])
        .catch(() => 'no'),
    ),
  );
  return all.filter((_, index) => answers[index]?.trim() === 'yes').join(' ');
}

const ann: Caller = { user: 'ann' };
const bob: Caller = { user: 'bob' };
const member: Caller = { user: 'zoe', groups: ['platform'] };
const patch = (path: string, body: object, as?: Caller): Promise<Answer> =>
  cluster.call({ method: 'PATCH', path, body, ...(as === undefined ? {} : { as }) });

describe('the admins of an Organization', () => {
  test('administer its namespaces and no others, and the operator has all rights that it asks for', async () => {
    verifies('rights:admins');
    await expect.poll(() => administered(ann), patience).toBe('team-a team-b');
    await expect.poll(() => administered(bob), patience).toBe('team-c');
    expect(await administered(member)).toBe('team-a team-b');
    expect(await administered({ user: 'zoe' })).toBe('');
    expect(await administered({ user: 'platform', groups: ['ann'] })).toBe('');
    expect(await operator.said('all permissions are there')).toBeDefined();
  });

  test('lose a namespace that moves to another organization, whose admins get it', async () => {
    verifies('rights:admins');
    await patch('/api/v1/namespaces/team-b', { metadata: { labels: { org: 'globex' } } });
    await expect.poll(() => administered(ann), patience).toBe('team-a');
    await expect.poll(() => administered(bob), patience).toBe('team-b team-c');
    await patch('/api/v1/namespaces/team-b', { metadata: { labels: { org: 'acme' } } });
    await expect.poll(() => administered(bob), patience).toBe('team-c');
    await expect.poll(() => administered(ann), patience).toBe('team-a team-b');
  });

  test('have their rights back when the binding is deleted, and it goes with its Organization', async () => {
    verifies('rights:admins');
    const look = async (): Promise<{ readonly uid?: string; readonly ownerReferences?: readonly object[] }> =>
      (await cluster.call({ method: 'GET', path: `${bindings}/${bindingName}` })).body['metadata'] ?? {};
    const before = await look();
    await cluster.plane.kubectl(['delete', 'rolebinding', bindingName, '-n', 'team-a']);
    await expect.poll(async () => (await look()).uid, patience).toEqual(expect.not.stringMatching(before.uid ?? ''));
    await expect.poll(() => administered(ann), patience).toBe('team-a team-b');
    expect((await look()).ownerReferences).toMatchObject([{ kind: 'Organization', name: 'acme', controller: true }]);
  });

  test('change as soon as the Organization does', async () => {
    verifies('rights:admins');
    await patch(`${organizations}/acme`, { spec: { admins: { users: ['carl'], groups: null } } });
    await expect.poll(() => administered({ user: 'carl' }), patience).toBe('team-a team-b');
    await vi.waitFor(async () => expect(await administered(ann)).toBe(''), patience);
    await patch(`${organizations}/acme`, { spec: { admins: null } });
    await expect.poll(() => administered({ user: 'carl' }), patience).toBe('');
    await patch(`${organizations}/acme`, { spec: { admins: { users: ['ann'] } } });
    await expect.poll(() => administered(ann), patience).toBe('team-a team-b');
  });
});

describe('nobody becomes an admin', () => {
  test('by the binding, whatever their rights on RoleBindings', async () => {
    verifies('rights:admins-escalation');
    const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'eve' }];
    const changed = await patch(`${bindings}/${bindingName}`, { subjects });
    expect(changed.message).toContain('RoleBindings of this name follow spec.admins of the Organization');
    const body = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: bindingName, namespace: 'nobodys' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects,
    };
    const path = bindings.replace('team-a', 'nobodys');
    expect((await cluster.call({ method: 'POST', path, body })).message).toContain('follow spec.admins');
    const other = { ...body, metadata: { name: 'other', namespace: 'nobodys' } };
    expect(await cluster.call({ method: 'POST', path, body: other, dryRun: true })).toMatchObject({ status: 201 });
  });

  test('by writing an Organization without the right to give the role', async () => {
    verifies('rights:admins-escalation');
    const writer: Caller = { user: 'wendy', groups: ['system:authenticated'] };
    await cluster.plane.kubectl([
      'create',
      'clusterrole',
      'organization-writer',
      '--verb=get,create,update,patch',
      '--resource=organizations.mcpkeyring.io',
    ]);
    await cluster.plane.kubectl([
      'create',
      'clusterrolebinding',
      'wendy',
      '--clusterrole=organization-writer',
      '--user=wendy',
    ]);
    await expect
      .poll(async () => (await patch(`${organizations}/globex`, { metadata: { labels: { a: 'b' } } }, writer)).status)
      .toBe(200);
    const refused = 'you may not bind that role';
    const attempts: readonly object[] = [
      { admins: { users: ['wendy'] } },
      { admins: { groups: ['staff'] } },
      { namespaceSelector: { matchLabels: { org: 'acme' } } },
    ];
    for (const spec of attempts) {
      expect((await patch(`${organizations}/globex`, { spec }, writer)).message).toContain(refused);
    }
    const made = organization('mine', { admins: { users: ['wendy'] } });
    expect((await cluster.call({ method: 'POST', path: organizations, body: made, as: writer })).message).toContain(
      refused,
    );
    const without = organization('plain', { admins: { users: [] } });
    expect(await cluster.call({ method: 'POST', path: organizations, body: without, as: writer })).toMatchObject({
      status: 201,
    });
    expect((await patch(`${organizations}/globex`, { spec: { plan: 'Enterprise' } }, writer)).status).toBe(200);
  });

  test.each([
    ['everybody who is logged in', { groups: ['system:authenticated'] }, 'everybody would be an admin'],
    ['everybody', { groups: ['system:unauthenticated'] }, 'everybody would be an admin'],
    ['nobody in particular', { users: ['system:anonymous'] }, 'whoever shows no credential'],
  ])('by an Organization that names %s', async (_, admins, message) => {
    verifies('rights:admins-escalation');
    expect((await patch(`${organizations}/globex`, { spec: { admins } })).message).toContain(message);
  });

  test('by the operator: it binds this one role, under this one name', async () => {
    verifies('rights:admins-escalation');
    const as: Caller = {
      user: 'system:serviceaccount:mcp-keyring:mcp-keyring-operator',
      groups: ['system:serviceaccounts', 'system:authenticated'],
    };
    const bind = (name: string, role: string): Promise<Answer> => {
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role };
      const metadata = { name, namespace: 'nobodys' };
      const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'eve' }];
      const body = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata, roleRef, subjects };
      const path = bindings.replace('team-a', 'nobodys');
      return cluster.call({ method: 'POST', path, body, as, dryRun: true });
    };
    for (const [name, role] of [
      ['other', 'mcp-keyring-admin'],
      [bindingName, 'cluster-admin'],
      [bindingName, 'admin'],
    ] as const) {
      expect((await bind(name, role)).status, `${name} ${role}`).toBe(403);
    }
  });
});
