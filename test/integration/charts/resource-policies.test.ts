import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { changed } from '#test/integration/crds/cases.ts';
import { verifies } from '#test/requirements.ts';
import { type GuardedCluster, operatorUser, startGuardedCluster, waitUntilRefused } from './guarded-cluster.ts';
import type { Answer, Caller } from './raw-api.ts';

const root = '/apis/mcpkeyring.io/v1alpha1';
const inTeam = `${root}/namespaces/team-a`;
const requests = `${inTeam}/userkeyrequests`;
const apiVersion = 'mcpkeyring.io/v1alpha1';
let cluster: GuardedCluster;

beforeAll(async () => {
  cluster = await startGuardedCluster();
  for (const user of ['ann', 'bob']) {
    const flags = ['--clusterrole=mcp-keyring-user', `--user=${user}`];
    await cluster.plane.kubectl(['-n', 'team-a', 'create', 'rolebinding', user, ...flags]);
  }
  await cluster.plane.kubectl(['-n', 'team-a', 'create', 'rolebinding', 'admin', '--clusterrole=admin', '--user=max']);
  const tokenAdmin = ['rolebinding', 'token-admin', '--clusterrole=mcp-keyring-admin', '--user=tess'];
  await cluster.plane.kubectl(['-n', 'team-a', 'create', ...tokenAdmin]);
  await waitUntilRefused(() => post(requests, requestOf({ username: 'bob' }), ann));
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const ann: Caller = { user: 'ann', groups: ['payroll', 'system:authenticated'], uid: 'u-1' };
const annHerself = { username: 'ann', groups: ['payroll', 'system:authenticated'] };

const post = (path: string, body: object, as?: Caller): Promise<Answer> =>
  cluster.call({ method: 'POST', path, body, dryRun: true, ...(as === undefined ? {} : { as }) });

function requestOf(requester: object): object {
  const bytes = (count: number): string => Buffer.alloc(count, 7).toString('base64');
  return {
    apiVersion,
    kind: 'UserKeyRequest',
    metadata: { generateName: 'ukr-', namespace: 'team-a' },
    spec: { requester, keyId: 'k1', enc: bytes(32), ciphertext: bytes(64) },
  };
}

describe('a UserKeyRequest', () => {
  test.each([
    ['as themselves', annHerself],
    ['with their uid', { ...annHerself, uid: 'u-1' }],
    ['with their groups in another order', { ...annHerself, groups: ['system:authenticated', 'payroll'] }],
  ])('is made by users %s', async (_, requester) => {
    expect(await post(requests, requestOf(requester), ann)).toMatchObject({ status: 201, message: '' });
  });

  test('is made with what the API server knows of the user besides, but for the id of the credential', async () => {
    verifies('rights:own-name');
    const extra = { 'scopes.example.com': ['read', 'write'], 'authentication.kubernetes.io/credential-id': ['JTI=1'] };
    const scoped = { ...ann, extra };
    const claiming = (claimed?: object): object =>
      requestOf({ ...annHerself, ...(claimed === undefined ? {} : { extra: claimed }) });
    const { 'authentication.kubernetes.io/credential-id': _, ...told } = extra;
    expect(await post(requests, claiming(told), scoped)).toMatchObject({ status: 201, message: '' });
    expect(await post(requests, claiming(extra), scoped)).toMatchObject({ status: 201, message: '' });
    const forged = [undefined, {}, { 'scopes.example.com': ['read'] }, { ...told, more: ['a'] }];
    for (const claimed of [...forged, { ...extra, 'authentication.kubernetes.io/credential-id': ['JTI=2'] }]) {
      const answer = await post(requests, claiming(claimed), scoped);
      expect(answer.message).toContain('spec.requester.extra is not exactly what the API server knows of you');
      expect([403, 422]).toContain(answer.status);
    }
    expect((await post(requests, claiming({ more: ['a'] }), ann)).message).toContain('spec.requester.extra');
  });

  test.each([
    ['of another user', { ...annHerself, username: 'bob' }, 'spec.requester.username is bob, but you are ann'],
    ['of the administrator', { username: 'system:admin', groups: ['system:masters'] }, 'but you are ann'],
    ['with another uid', { ...annHerself, uid: 'u-2' }, 'spec.requester.uid is not yours'],
    [
      'with a group they are not in',
      { ...annHerself, groups: ['payroll', 'admins', 'system:authenticated'] },
      'not exactly the groups you are in',
    ],
    [
      'with a group in the place of another',
      { ...annHerself, groups: ['admins', 'system:authenticated'] },
      'not exactly the groups you are in',
    ],
    ['with a group twice', { ...annHerself, groups: ['payroll', 'payroll'] }, 'not exactly the groups you are in'],
    ['without groups', { username: 'ann' }, 'not exactly the groups you are in'],
  ])('is not made in the name %s', async (_, requester, refusedWith) => {
    const answer = await post(requests, requestOf(requester), ann);
    expect(answer.message).toContain(refusedWith);
    expect([403, 422]).toContain(answer.status);
  });

  test('of a user with very many groups is judged in time', async () => {
    const groups = Array.from({ length: 500 }, (_, index) => `group-${index}`).concat('system:authenticated');
    const answer = await post(requests, requestOf({ username: 'ann', groups }), { user: 'ann', groups });
    expect(answer).toMatchObject({ status: 201, message: '' });
    const shuffled = await post(requests, requestOf({ username: 'ann', groups: groups.toReversed() }), {
      user: 'ann',
      groups,
    });
    expect(shuffled).toMatchObject({ status: 201, message: '' });
  });

  test('is answered by the operator and by nobody else', async () => {
    const created = await cluster.call({ method: 'POST', path: requests, body: requestOf(annHerself), as: ann });
    const { name } = created.body['metadata'] as { name: string };
    const answer = (as?: Caller): Promise<Answer> =>
      cluster.call({
        method: 'PATCH',
        path: `${requests}/${name}/status`,
        body: { status: { completedAt: '2026-01-01T00:00:00Z' } },
        ...(as === undefined ? {} : { as }),
      });
    expect((await answer()).message).toContain('only the operator answers requests');
    expect((await answer(ann)).status).toBe(403);
    expect(
      await answer({ user: operatorUser, groups: ['system:serviceaccounts', 'system:authenticated'] }),
    ).toMatchObject({ status: 200 });
  });

  test('is read by whoever knows its name, but never listed by users', async () => {
    expect((await cluster.call({ method: 'GET', path: requests, as: ann })).status).toBe(403);
    expect((await cluster.call({ method: 'GET', path: `${requests}/unknown`, as: ann })).status).toBe(404);
    expect((await cluster.call({ method: 'GET', path: `${inTeam}/mcpservers`, as: ann })).status).toBe(200);
    expect((await cluster.call({ method: 'GET', path: `${inTeam}/userkeys`, as: ann })).status).toBe(403);
  });
});

describe('an AccessToken', () => {
  const tokens = `${inTeam}/accesstokens`;
  const token = {
    apiVersion,
    kind: 'AccessToken',
    metadata: { name: 'mkt-1', namespace: 'team-a' },
    spec: {
      organization: 'acme',
      owner: { issuer: 'kubernetes', id: 'ann', name: 'ann' },
      servers: ['github'],
      hash: 'A'.repeat(43),
      expiresAt: '2027-01-01T00:00:00Z',
    },
  };
  const operator: Caller = { user: operatorUser, groups: ['system:serviceaccounts', 'system:authenticated'] };
  const tess: Caller = { user: 'tess', groups: ['system:authenticated'] };

  test('is made by the operator and by nobody else, not even the administrator of the cluster', async () => {
    verifies('tokens:operator-only');
    expect(await waitUntilRefused(() => post(tokens, token))).toMatchObject({
      message: expect.stringContaining('AccessTokens are made by the operator') as string,
    });
    expect((await post(tokens, token, ann)).status).toBe(403);
    expect((await post(tokens, token, tess)).status).toBe(403);
    expect(await post(tokens, token, operator)).toMatchObject({ status: 201, message: '' });
  });

  test('is neither listed, read nor revoked by users; the administrator of its namespace sees and revokes it', async () => {
    verifies('tokens:own');
    await cluster.call({ method: 'POST', path: tokens, body: token, as: operator });
    for (const path of [tokens, `${tokens}/mkt-1`]) {
      expect((await cluster.call({ method: 'GET', path, as: ann })).status).toBe(403);
      expect((await cluster.call({ method: 'GET', path, as: tess })).status).toBe(200);
    }
    expect((await cluster.call({ method: 'DELETE', path: `${tokens}/mkt-1`, as: ann })).status).toBe(403);
    const patch = { spec: { owner: { ...token.spec.owner, id: 'max' } } };
    const change = (as: Caller): Promise<Answer> =>
      cluster.call({ method: 'PATCH', path: `${tokens}/mkt-1`, body: patch, as });
    expect((await change(tess)).status).toBe(403);
    expect((await change(operator)).status).not.toBe(200);
    expect((await cluster.call({ method: 'DELETE', path: `${tokens}/mkt-1`, as: tess })).status).toBe(200);
  });
});

const oidc = { name: 'login', type: 'OIDC', issuerURL: 'https://login.example.com', audiences: ['mcp'] };

const kinds = [
  {
    collection: `${root}/organizations`,
    valid: {
      apiVersion,
      kind: 'Organization',
      metadata: { name: 'acme' },
      spec: {
        namespaceSelector: { matchLabels: { a: 'b' } },
        identity: { issuers: [oidc] },
        encryption: { provider: { local: {} } },
        audit: { required: true },
      },
    },
    unsupported: [
      ['encryption.provider.kmsV2', 'encryption.provider', { kmsV2: { name: 'a', socket: '/a' } }],
      [
        'encryption.provider.vaultTransit',
        'encryption.provider',
        { vaultTransit: { address: 'https://a', keyName: 'a' } },
      ],
      ['encryption.rotationInterval', 'encryption.rotationInterval', '30d'],
      ['audit.required false', 'audit.required', false],
      ['audit.retention', 'audit.retention', '400d'],
      ['audit.sinks', 'audit.sinks', [{ name: 'a', type: 'OTLP', url: 'https://a' }]],
    ],
  },
  {
    collection: `${inTeam}/mcpservers`,
    valid: {
      apiVersion,
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'team-a' },
      spec: {
        upstream: { workload: { port: 8080 } },
        authentication: {
          headers: [
            {
              name: 'Authorization',
              format: { prefixes: ['ghp_'], pattern: 'ghp_.+', message: 'Begins with ghp_' },
              reveal: 'None',
            },
          ],
        },
      },
    },
    unsupported: [
      [
        'authentication.headers[].reveal Last4',
        'authentication.headers',
        [{ name: 'A' }, { name: 'B', reveal: 'Last4' }],
      ],
    ],
  },
  {
    collection: `${inTeam}/userkeypolicies`,
    valid: {
      apiVersion,
      kind: 'UserKeyPolicy',
      metadata: { name: 'strict', namespace: 'team-a' },
      spec: {
        servers: { selector: {} },
        keys: { required: ['A'], optional: ['B'] },
        tools: { deny: ['drop_*'] },
        expiry: { maxAge: '30d', warnBefore: '7d', onExpired: 'Block' },
        validation: { schedule: '24h', probe: { tool: { name: 'whoami' } } },
      },
    },
    unsupported: ['approval', 'audit'].map((field) => [field, field, {}] as const),
  },
] as const;

describe.each(kinds)('$valid.kind', ({ collection, valid, unsupported }) => {
  test('with fields that work is taken', async () => {
    expect(await post(collection, valid)).toMatchObject({ status: 201, message: '' });
  });

  test.each(unsupported)('spec.%s is refused as not supported yet', async (field, path, value) => {
    const answer = await post(collection, changed(valid, `spec.${path}`, value));
    expect(answer.message).toContain(`spec.${field} is not supported yet`);
    expect([403, 422]).toContain(answer.status);
  });
});

describe('what later writes must not bring in', () => {
  test('an unsupported field in an update', async () => {
    const [{ collection, valid }] = kinds;
    expect(await cluster.call({ method: 'POST', path: collection, body: valid })).toMatchObject({ status: 201 });
    const answer = await cluster.call({
      method: 'PATCH',
      path: `${collection}/acme`,
      body: { spec: { audit: { retention: '400d' } } },
    });
    expect(answer.message).toContain('spec.audit.retention is not supported yet');
  });
});

describe("the operator's own Secrets", () => {
  const secret = '/api/v1/namespaces/mcp-keyring/secrets/mcp-keyring-kek';
  const operator = { user: operatorUser };
  const patch = (body: object): Promise<Answer> => cluster.call({ method: 'PATCH', path: secret, body });
  const replace = (data: object | undefined, as?: Caller): Promise<Answer> => {
    const metadata = { name: 'mcp-keyring-kek', namespace: 'mcp-keyring' };
    const body = { apiVersion: 'v1', kind: 'Secret', metadata, ...(data === undefined ? {} : { data }) };
    return cluster.call({ method: 'PUT', path: secret, body, ...(as === undefined ? {} : { as }) });
  };

  test('are filled and rotated by the operator, and nobody else takes an entry away', async () => {
    expect(await replace({ 'local-1': 'AAAA', current: 'bG9jYWwtMQ==' }, operator)).toMatchObject({ status: 200 });
    for (const data of [{ 'local-1': null }, { 'local-1': 'BBBB' }, null]) {
      expect((await patch({ data })).message).toContain('this would remove or change keys in Secret mcp-keyring-kek');
    }
    expect((await replace(undefined)).message).toContain('do not use helm upgrade --force');
    expect(await patch({ metadata: { labels: { a: 'b' } } })).toMatchObject({ status: 200 });
    expect(await replace({ current: 'bG9jYWwtMg==' }, operator)).toMatchObject({ status: 200 });
  });

  test('are reached by the operator by name only, and sealed keys in their namespace only', async () => {
    const can = async (verb: string, namespace: string, name = ''): Promise<number> =>
      (
        await cluster.call({
          method: 'GET',
          path: `/api/v1/namespaces/${namespace}/secrets${name === '' ? '' : `/${name}`}${verb === 'list' ? '?fieldSelector=' : ''}`,
          as: operator,
        })
      ).status;
    expect(await can('get', 'mcp-keyring', 'mcp-keyring-kek')).toBe(200);
    expect(await can('get', 'mcp-keyring', 'other')).toBe(403);
    expect(await can('list', 'mcp-keyring')).toBe(403);
    expect(await can('list', 'mcp-keyring-keys')).toBe(200);
    expect(await can('list', 'team-a')).toBe(403);
    expect(await can('get', 'team-a', 'any')).toBe(403);
  });
});
