import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { verifies } from '#test/requirements.ts';

import { type GuardedCluster, operatorUser, startGuardedCluster, waitUntilRefused } from '../charts/guarded-cluster.ts';
import { repository } from '../charts/helm.ts';
import type { Answer, Call, Caller } from '../charts/raw-api.ts';

const root = '/apis/mcpkeyring.io/v1alpha1';
const inTeam = `${root}/namespaces/team-a`;
const apiVersion = 'mcpkeyring.io/v1alpha1';
const rbac = 'rbac.authorization.k8s.io';
const bindings = `/apis/${rbac}/v1/namespaces/team-a/rolebindings`;
let cluster: GuardedCluster;

/** One user for each role, who holds it in team-a. */
const roles = [
  'mcp-keyring-user',
  'mcp-keyring-view',
  'mcp-keyring-edit',
  'mcp-keyring-admin',
  'view',
  'edit',
  'admin',
] as const;
type Role = (typeof roles)[number];
const holder = (role: Role | 'nobody'): Caller => ({ user: `holder-of-${role}`, groups: ['system:authenticated'] });
const ann = holder('mcp-keyring-user');
const operator: Caller = { user: operatorUser, groups: ['system:serviceaccounts', 'system:authenticated'] };
/** Somebody to whom a cluster administrator gave all of our API in team-a. */
const wild: Caller = { user: 'wild', groups: ['system:authenticated'] };

const keyName = 'github-abcdefghijklmnop';
const userKey = {
  apiVersion,
  kind: 'UserKey',
  metadata: { name: keyName, namespace: 'team-a', labels: { 'mcpkeyring.io/server': 'github' } },
  spec: { serverRef: { name: 'github' }, subject: { issuer: 'kubernetes', id: 'bob', name: 'bob' } },
};
const token = {
  apiVersion,
  kind: 'AccessToken',
  metadata: { name: 'mkt-1', namespace: 'team-a' },
  spec: {
    organization: 'default',
    owner: { issuer: 'kubernetes', id: 'bob', name: 'bob' },
    servers: ['github'],
    hash: 'a'.repeat(43),
    expiresAt: '2030-01-01T00:00:00Z',
  },
};

type Attempt = readonly [method: Call['method'], path: string, body?: object | undefined];
const send = (as: Caller | undefined, [method, path, body]: Attempt): Promise<Answer> =>
  cluster.call({ method, path, ...(as === undefined ? {} : { as }), ...(body === undefined ? {} : { body }) });
const statusOf = async (as: Caller | undefined, attempt: Attempt): Promise<number> => (await send(as, attempt)).status;

function roleBinding(name: string, role: string, user: string): object {
  const roleRef = { apiGroup: rbac, kind: 'ClusterRole', name: role };
  const subjects = [{ apiGroup: rbac, kind: 'User', name: user }];
  return { apiVersion: `${rbac}/v1`, kind: 'RoleBinding', metadata: { name, namespace: 'team-a' }, roleRef, subjects };
}

function requestOf(username: string): object {
  const bytes = (count: number): string => Buffer.alloc(count, 7).toString('base64');
  const spec = {
    requester: { username, groups: ['system:authenticated'] },
    keyId: 'k1',
    enc: bytes(32),
    ciphertext: bytes(64),
  };
  return { apiVersion, kind: 'UserKeyRequest', metadata: { name: `ukr-${username}`, namespace: 'team-a' }, spec };
}

/** Roles are put together, and policies in force, some moments after they were written. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await isSo())) throw new Error('not yet');
    },
    { timeout: 20_000, interval: 100 },
  );
}

beforeAll(async () => {
  cluster = await startGuardedCluster();
  cluster.plane.startControllers(['clusterrole-aggregation-controller']);
  await cluster.plane.kubectl(['create', 'namespace', 'team-b']);
  for (const role of roles) await send(undefined, ['POST', bindings, roleBinding(role, role, holder(role).user)]);
  const everything = { apiGroups: ['mcpkeyring.io'], resources: ['*'], verbs: ['*'] };
  const metadata = { name: 'all-of-mcp-keyring' };
  await send(undefined, [
    'POST',
    `/apis/${rbac}/v1/clusterroles`,
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata,
      rules: [everything],
    },
  ]);
  await send(undefined, ['POST', bindings, roleBinding('wild', metadata.name, wild.user)]);
  await until(async () => (await statusOf(operator, ['POST', `${inTeam}/userkeys`, userKey])) === 201);
  await until(async () => (await statusOf(operator, ['POST', `${inTeam}/accesstokens`, token])) === 201);
  await waitUntilRefused(() => send(ann, ['POST', `${inTeam}/userkeyrequests`, requestOf('bob')]));
  await waitUntilRefused(() =>
    send(wild, ['PATCH', `${inTeam}/userkeys/${keyName}/status`, { status: { version: 1 } }]),
  );
  await until(() => allowed(holder('view'), ['list', 'mcpservers']));
  await until(() => allowed(holder('admin'), ['revoke', 'mcpservers']));
});

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

interface Place {
  readonly namespace?: string;
  readonly group?: string;
}

async function allowed(
  { user, groups = [] }: Caller,
  [verb, what, place = {}]: readonly [verb: string, what: string, place?: Place],
): Promise<boolean> {
  const { namespace = 'team-a', group = 'mcpkeyring.io' } = place;
  const [resource = '', subresource] = what.split('/');
  const attributes = { group, resource, verb, namespace, ...(subresource === undefined ? {} : { subresource }) };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, groups, resourceAttributes: attributes },
  };
  const answer = await send(undefined, ['POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', body]);
  return (answer.body['status'] as { readonly allowed?: boolean }).allowed === true;
}

const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'] as const;
const ofUsers = ['use', 'approve', 'revoke', 'impersonate', 'bind', 'escalate'] as const;
const resources: readonly (readonly [resource: string, place?: Place])[] = [
  ...['mcpservers', 'mcpservers/status', 'userkeypolicies', 'userkeypolicies/status'].map((name) => [name] as const),
  ...['userkeys', 'userkeys/status', 'userkeys/finalizers', 'userkeyrequests', 'userkeyrequests/status'].map(
    (name) => [name] as const,
  ),
  ...['accesstokens', 'accesstokens/status'].map((name) => [name] as const),
  ['organizations', { namespace: '' }],
  ['secrets', { namespace: 'mcp-keyring-keys', group: '' }],
  ['secrets', { namespace: 'mcp-keyring', group: '' }],
];

async function row([resource, place = {}]: (typeof resources)[number]): Promise<string> {
  const cells = await Promise.all(
    (['nobody', ...roles] as const).map(async (role) => {
      const asked = [...verbs, ...ofUsers];
      const answers = await Promise.all(asked.map((verb) => allowed(holder(role), [verb, resource, place])));
      return asked.filter((_, index) => answers[index]).join(' ') || '-';
    }),
  );
  const where = place.namespace === undefined || place.namespace === '' ? '' : ` of ${place.namespace}`;
  return `| ${[resource + where, ...cells].join(' | ')} |`;
}

describe('the roles', () => {
  test('may do exactly what the golden table says; UPDATE_GOLDEN=1 writes it anew', async () => {
    verifies('rights:roles');
    const rows: string[] = [];
    for (const resource of resources) rows.push(await row(resource));
    const head = ['resource', 'nobody', ...roles];
    const text = [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows, ''].join('\n');
    const folder = join(repository, 'test/golden/rights');
    const path = join(folder, 'roles.md');
    if (process.env['UPDATE_GOLDEN'] === '1') {
      mkdirSync(folder, { recursive: true });
      writeFileSync(path, text);
    }
    expect(existsSync(path)).toBe(true);
    expect(text).toBe(readFileSync(path, 'utf8'));
  });

  test('give nothing in another namespace than where they are bound', async () => {
    verifies('rights:roles');
    for (const role of roles) {
      for (const resource of ['mcpservers', 'userkeys', 'userkeyrequests', 'accesstokens', 'userkeypolicies']) {
        for (const verb of [...verbs, 'use', 'approve', 'revoke']) {
          expect(
            await allowed(holder(role), [verb, resource, { namespace: 'team-b' }]),
            `${role} ${verb} ${resource}`,
          ).toBe(false);
        }
      }
    }
  });
});

describe('a user', () => {
  test.each<[string, ...Attempt]>([
    ["reads another's UserKey", 'GET', `${inTeam}/userkeys/${keyName}`],
    ['lists the UserKeys of all', 'GET', `${inTeam}/userkeys`],
    ['watches the UserKeys of all', 'GET', `${inTeam}/userkeys?watch=true&timeoutSeconds=1`],
    ["destroys another's key", 'DELETE', `${inTeam}/userkeys/${keyName}`],
    ['destroys the keys of all', 'DELETE', `${inTeam}/userkeys`],
    ['writes the state of a key', 'PATCH', `${inTeam}/userkeys/${keyName}/status`, { status: { version: 9 } }],
    ['takes a finalizer away', 'PATCH', `${inTeam}/userkeys/${keyName}`, { metadata: { finalizers: [] } }],
    ['makes a UserKey', 'POST', `${inTeam}/userkeys`, userKey],
    ["lists others' requests", 'GET', `${inTeam}/userkeyrequests`],
    ["takes another's request away", 'DELETE', `${inTeam}/userkeyrequests/ukr-bob`],
    ["changes another's request", 'PATCH', `${inTeam}/userkeyrequests/ukr-bob`, { metadata: { labels: { a: 'b' } } }],
    ['answers a request', 'PATCH', `${inTeam}/userkeyrequests/ukr-bob/status`, { status: {} }],
    ['makes an access token for another', 'POST', `${inTeam}/accesstokens`, token],
    ['lists the access tokens of all', 'GET', `${inTeam}/accesstokens`],
    ["revokes another's access token", 'DELETE', `${inTeam}/accesstokens/mkt-1`],
    ['changes where keys go', 'PATCH', `${inTeam}/mcpservers/github`, { spec: {} }],
    ['registers a server', 'POST', `${inTeam}/mcpservers`, {}],
    ['writes a policy', 'POST', `${inTeam}/userkeypolicies`, {}],
    ['reads sealed keys', 'GET', '/api/v1/namespaces/mcp-keyring-keys/secrets'],
    ['gives themselves a right', 'POST', bindings, roleBinding('mine', 'mcp-keyring-admin', ann.user)],
  ])('who %s is refused', async (_, ...attempt) => {
    verifies('rights:own-only');
    expect(await statusOf(ann, attempt)).toBe(403);
    expect(await statusOf(holder('nobody'), attempt)).toBe(403);
  });

  test('makes requests in their own name alone, and lists servers', async () => {
    verifies('rights:own-only');
    const forged = await send(ann, ['POST', `${inTeam}/userkeyrequests`, requestOf('bob')]);
    expect(forged.message).toContain('spec.requester.username is bob, but you are holder-of-mcp-keyring-user');
    expect(await statusOf(ann, ['POST', `${inTeam}/userkeyrequests`, requestOf(ann.user)])).toBe(201);
    expect(await statusOf(ann, ['GET', `${inTeam}/mcpservers`])).toBe(200);
  });
});

describe('an administrator of a namespace', () => {
  test.each(['mcp-keyring-admin', 'admin'] as const)(
    'with the role %s sees and ends keys, and writes none',
    async (role) => {
      verifies('rights:no-values');
      const as = holder(role);
      expect(await statusOf(as, ['GET', `${inTeam}/userkeys/${keyName}`])).toBe(200);
      expect(await statusOf(as, ['DELETE', `${inTeam}/userkeys/gone-abcdefghijklmnop`])).toBe(404);
      const refused: readonly Attempt[] = [
        ['GET', '/api/v1/namespaces/mcp-keyring-keys/secrets'],
        ['GET', '/api/v1/namespaces/mcp-keyring/secrets/mcp-keyring-kek'],
        ['POST', `${inTeam}/userkeys`, userKey],
        ['PATCH', `${inTeam}/userkeys/${keyName}`, { metadata: { finalizers: [] } }],
        ['PATCH', `${inTeam}/userkeys/${keyName}/status`, { status: { version: 9 } }],
        ['POST', `${inTeam}/accesstokens`, token],
        ['PATCH', `${root}/organizations/default`, { spec: {} }],
      ];
      for (const attempt of refused) expect(await statusOf(as, attempt), attempt[1]).toBe(403);
    },
  );

  test('makes users of their namespace, and nobody more than they are', async () => {
    verifies('rights:hand-on');
    const as = holder('admin');
    for (const role of ['mcp-keyring-user', 'mcp-keyring-edit', 'mcp-keyring-admin']) {
      expect(await statusOf(as, ['POST', bindings, roleBinding(`made-${role}`, role, 'carl')]), role).toBe(201);
    }
    for (const role of ['cluster-admin', 'mcp-keyring-operator', 'all-of-mcp-keyring']) {
      expect(await statusOf(as, ['POST', bindings, roleBinding(`made-${role}`, role, 'carl')]), role).toBe(403);
    }
  });

  test('who may only edit, or run pods, decides neither where keys go nor what is called with them', async () => {
    verifies('rights:no-values');
    for (const path of [`${inTeam}/mcpservers/github`, `${inTeam}/userkeypolicies/strict`]) {
      expect(await statusOf(holder('edit'), ['PATCH', path, { spec: {} }])).toBe(403);
      expect(await statusOf(holder('edit'), ['DELETE', path])).toBe(403);
    }
    expect(await allowed(holder('edit'), ['create', 'pods', { group: '' }])).toBe(true);
    expect(await statusOf(holder('view'), ['GET', `${inTeam}/userkeys`])).toBe(403);
  });
});

describe('a UserKey', () => {
  test.each<[string, ...Attempt]>([
    [
      'is made',
      'POST',
      `${inTeam}/userkeys`,
      { ...userKey, metadata: { ...userKey.metadata, name: 'github-bbbbbbbbbbbbbbbb' } },
    ],
    ['gets a version', 'PATCH', `${inTeam}/userkeys/${keyName}/status`, { status: { version: 9 } }],
    [
      'gets other labels',
      'PATCH',
      `${inTeam}/userkeys/${keyName}`,
      { metadata: { labels: { 'mcpkeyring.io/server': 'jira' } } },
    ],
    [
      'gets another name for its user',
      'PATCH',
      `${inTeam}/userkeys/${keyName}`,
      { spec: { subject: { name: 'eve' } } },
    ],
  ])('%s by the operator, and by nobody else who may write it', async (_, ...attempt) => {
    verifies('rights:key-state');
    for (const as of [wild, undefined]) {
      expect((await send(as, attempt)).message).toContain('UserKeys are written by the operator');
    }
    const [method, path, body] = attempt;
    expect(await cluster.call({ method, path, body, as: operator, dryRun: true })).toMatchObject({ message: '' });
  });

  test('is left by controllers of the cluster as its owner says, and freed by an administrator in an emergency', async () => {
    const collector: Caller = {
      user: 'system:serviceaccount:kube-system:generic-garbage-collector',
      groups: ['system:serviceaccounts', 'system:authenticated'],
    };
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', uid: 'u' };
    const patch = (as: Caller | undefined, metadata: object): Promise<number> =>
      statusOf(as, ['PATCH', `${inTeam}/userkeys/${keyName}`, { metadata }]);
    expect(await patch(operator, { ownerReferences: [owner], finalizers: ['a.example/b'] })).toBe(200);
    expect(await patch(collector, { ownerReferences: null })).toBe(200);
    expect(await patch(undefined, { finalizers: null })).toBe(200);
  });
});
