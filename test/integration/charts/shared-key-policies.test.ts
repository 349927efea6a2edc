/** Who may make a server that sends out what is in a Secret, with the chart's policies and RBAC in a real API server. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { verifies } from '#test/requirements.ts';
import { type GuardedCluster, operatorUser, startGuardedCluster, waitUntilRefused } from './guarded-cluster.ts';
import type { Answer, Caller } from './raw-api.ts';

const servers = '/apis/mcpkeyring.io/v1alpha1/namespaces/team-a/mcpservers';
const apiVersion = 'mcpkeyring.io/v1alpha1';
const authenticated = ['system:authenticated'];
/** May write servers, and read no Secret. */
const mallory: Caller = { user: 'mallory', groups: authenticated };
/** May write servers, and read the one Secret that is meant. */
const ann: Caller = { user: 'ann', groups: authenticated };
const secret = { name: 'github-shared' };
const theirs = 'https://mallory.example.com/mcp';
let cluster: GuardedCluster;

beforeAll(async () => {
  cluster = await startGuardedCluster();
  const kubectl = (args: readonly string[]): Promise<string> => cluster.plane.kubectl(args);
  const inTeam = ['-n', 'team-a', 'create'];
  await kubectl([...inTeam, 'secret', 'generic', secret.name, '--from-literal=Authorization=shared-key']);
  await kubectl([...inTeam, 'secret', 'generic', 'payroll', '--from-literal=Authorization=payroll-key']);
  await kubectl([...inTeam, 'role', 'servers', '--verb=*', '--resource=mcpservers.mcpkeyring.io']);
  const reading = ['--verb=get,list,watch', '--resource=secrets', `--resource-name=${secret.name}`];
  await kubectl([...inTeam, 'role', 'github-shared', ...reading]);
  await kubectl([...inTeam, 'role', 'grants', '--verb=create', '--resource=roles.rbac.authorization.k8s.io']);
  await kubectl([...inTeam, 'rolebinding', 'servers', '--role=servers', '--user=mallory', '--user=ann']);
  await kubectl([...inTeam, 'rolebinding', 'grants', '--role=grants', '--user=mallory', '--user=ann']);
  await kubectl([...inTeam, 'rolebinding', 'github-shared', '--role=github-shared', '--user=ann']);
  await waitUntilRefused(() => write(serverWith({ sharedKeySecretRef: secret }), mallory));
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

function serverWith(authentication: object, upstream: object = { workload: { port: 8080 } }): object {
  const spec = { upstream, authentication: { headers: [{ name: 'Authorization' }], ...authentication } };
  return { apiVersion, kind: 'McpServer', metadata: { name: 'github', namespace: 'team-a' }, spec };
}

const write = (body: object, as?: Caller, more: { dryRun?: false } = {}): Promise<Answer> =>
  cluster.call({ method: 'POST', path: servers, body, dryRun: true, ...more, ...(as === undefined ? {} : { as }) });
const patch = (body: object, as: Caller): Promise<Answer> =>
  cluster.call({ method: 'PATCH', path: `${servers}/github`, body, dryRun: true, as });

describe('a server that names a Secret', () => {
  const shared = { mode: 'Shared', sharedKeySecretRef: secret };

  test(verifies('shared-keys:author-reads'), async () => {
    for (const mode of ['PerUser', 'Shared', 'PerUserOrShared']) {
      const refused = await write(serverWith({ ...shared, mode }, { remote: { url: theirs } }), mallory);
      expect(refused.message).toContain('github-shared to where it says, and you may not read that Secret');
      expect([403, 422]).toContain(refused.status);
    }
    // Nor one that reads another.
    const other = { mode: 'Shared', sharedKeySecretRef: { name: 'payroll' } };
    expect((await write(serverWith(other), ann)).message).toContain('you may not read that Secret');
    expect(await write(serverWith(shared), ann)).toMatchObject({ status: 201, message: '' });
    // Without a Secret it is a server like any other.
    expect(await write(serverWith({}), mallory)).toMatchObject({ status: 201, message: '' });
  });

  test(verifies('shared-keys:no-detour'), async () => {
    expect(await write(serverWith(shared), ann, { dryRun: false })).toMatchObject({ status: 201 });
    const upstreams = [
      { workload: null, remote: { url: theirs } },
      { workload: null, managed: { image: 'mallory/echo', port: 8080 } },
      { workload: { port: 9999 } },
    ];
    for (const upstream of upstreams) {
      expect((await patch({ spec: { upstream } }, mallory)).message).toContain('you may not read that Secret');
    }
    // Another header of the same server would take the key elsewhere, too.
    const headers = [{ name: 'X-Forwarded-To-Mallory' }];
    expect((await patch({ spec: { authentication: { headers } } }, mallory)).status).not.toBe(200);
    // What says nothing of where the key goes is no concern of it.
    expect(await patch({ metadata: { labels: { team: 'a' } } }, mallory)).toMatchObject({ status: 200, message: '' });
    expect(await patch({ spec: { title: 'GitHub' } }, ann)).toMatchObject({ status: 200, message: '' });
  });

  test('can be made readable for the operator by those only who may read it themselves', async () => {
    const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/team-a/roles';
    const roleFor = (name: string): object => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'mcp-keyring-key-github', namespace: 'team-a' },
      rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs: ['get', 'list', 'watch'] }],
    });
    const grant = (name: string, as: Caller): Promise<Answer> =>
      cluster.call({ method: 'POST', path: roles, body: roleFor(name), dryRun: true, as });
    expect((await grant(secret.name, mallory)).status).toBe(403);
    expect((await grant('payroll', ann)).status).toBe(403);
    expect((await grant(secret.name, ann)).status).toBe(201);
  });

  test('is not read by the operator before somebody lets it', async () => {
    const operator = { user: operatorUser, groups: ['system:serviceaccounts', 'system:authenticated'] };
    for (const path of ['secrets', `secrets/${secret.name}`, 'secrets/payroll']) {
      const asked = await cluster.call({ method: 'GET', path: `/api/v1/namespaces/team-a/${path}`, as: operator });
      expect(asked.status).toBe(403);
    }
  });
});

describe('in an organization of plan Standard', () => {
  const organization = (name: string, spec: object): object => ({
    apiVersion,
    kind: 'Organization',
    metadata: { name },
    spec: { identity: { issuers: [{ name: 'cluster', type: 'Kubernetes', audiences: ['keyring'] }] }, ...spec },
  });
  const organizations = '/apis/mcpkeyring.io/v1alpha1/organizations';

  test(verifies('plans:standard-admission'), async () => {
    await cluster.plane.kubectl(['label', 'namespace', 'team-a', 'org=small', 'stage=live']);
    const selectors = [
      { matchLabels: { org: 'small' } },
      { matchExpressions: [{ key: 'org', operator: 'In', values: ['other', 'small'] }] },
      { matchExpressions: [{ key: 'stage', operator: 'Exists' }] },
      { matchLabels: { org: 'small' }, matchExpressions: [{ key: 'stage', operator: 'NotIn', values: ['test'] }] },
    ];
    const others = [
      { matchLabels: { org: 'large' } },
      { matchExpressions: [{ key: 'org', operator: 'NotIn', values: ['small'] }] },
      { matchExpressions: [{ key: 'stage', operator: 'DoesNotExist' }] },
    ];
    for (const [index, namespaceSelector] of others.entries()) {
      const body = organization(`other-${index}`, { plan: 'Standard', namespaceSelector });
      await cluster.call({ method: 'POST', path: organizations, body });
    }
    const perUser = serverWith({});
    for (const namespaceSelector of selectors) {
      const body = organization('small', { plan: 'Standard', namespaceSelector });
      expect(await cluster.call({ method: 'POST', path: organizations, body })).toMatchObject({ status: 201 });
      const refused = await waitUntilRefused(() =>
        write({ ...perUser, metadata: { name: 'jira', namespace: 'team-a' } }),
      );
      expect(refused.message).toContain('organization small is of plan Standard');
      expect(
        await write({ ...serverWith({ mode: 'Shared', sharedKeySecretRef: secret }), metadata: named('jira') }),
      ).toMatchObject({
        status: 201,
      });
      expect(await write({ ...serverWith({ headers: [] }), metadata: named('open') })).toMatchObject({ status: 201 });
      await cluster.call({ method: 'DELETE', path: `${organizations}/small` });
      await expect
        .poll(async () => (await write({ ...perUser, metadata: named('jira') })).status, { timeout: 20_000 })
        .toBe(201);
    }
  });

  const named = (name: string): object => ({ name, namespace: 'team-a' });
});
