import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import { markRejected } from '#operator/broker/mark-rejected.ts';
import { registerRevocation } from '#operator/revocation/register.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { verifies } from '#test/requirements.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, keyNamespace, OperatorProcess } from './installation.ts';
import { brief, find, type Found, namespace, organization, server } from './objects.ts';
import { order } from './user.ts';

const patience = { timeout: 15_000, interval: 200 };
const secretValue = 'sk-never-to-be-seen-again-4711';
const ada = { namespace: 'team-a', username: 'ada' };

let plane: ControlPlane;
let operator: OperatorProcess;
/** The sealed key that was destroyed last. */
let gone: Found | undefined;

beforeAll(async () => {
  plane = await startControlPlane();
  await installPrerequisites(plane);
  operator = await OperatorProcess.start(plane);
  await operator.said('this replica is the leader');
  await applyAll(plane, [organization('acme'), namespace('team-a', { org: 'acme' }), server('team-a', 'github')]);
  await vi.waitFor(async () => {
    const seen = brief(await find(plane, 'mcps/github', '-n', 'team-a'));
    if (!seen.includes('Ready=False/NoPods')) throw new Error(`not reconciled yet: ${seen}`);
  }, patience);
});

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

async function setKey(...names: readonly string[]): Promise<void> {
  const headers = names.map((name) => ({ name, value: Buffer.from(secretValue) }));
  const response = await order(plane, ada, { control: { v: 1, operation: 'set', server: 'github' }, headers });
  expect(response).toMatchObject({ outcome: 'ok' });
}

async function list(resource: string, inNamespace: string): Promise<readonly Found[]> {
  const output = await plane.kubectl(['get', resource, '-n', inNamespace, '-o', 'json']);
  return (JSON.parse(output) as { items: readonly Found[] }).items;
}

async function userKey(): Promise<Found | undefined> {
  return (await list('uk', 'team-a'))[0];
}

async function state(): Promise<string> {
  const found = await userKey();
  return `${String(found?.status?.['state'])} ${brief(found)}`;
}

/** What is on record: the time at which the key was sealed. */
async function version(): Promise<number> {
  return Number((await userKey())?.status?.['version']);
}

/** As a backup holds it. */
function copyOf(object: { readonly metadata: Found['metadata']; readonly [field: string]: unknown }): string {
  const { resourceVersion: _, uid: __, ...metadata } = { ...object.metadata, managedFields: undefined };
  return JSON.stringify({ ...object, metadata });
}

/** Puts a sealed key back as it was, as whoever may write there or a backup would. */
async function putBack(secret: Found): Promise<void> {
  await plane.kubectl(['replace', '-f', '-'], copyOf(secret));
}

async function sealedSecrets(): Promise<readonly Found[]> {
  return (await list('secrets', keyNamespace)).filter(
    ({ metadata }) => metadata.labels?.['mcpkeyring.io/managed'] === 'true',
  );
}

function auditTypes(): readonly string[] {
  return operator.lines.flatMap((line) => {
    const event = line['audit'] as { type?: string } | undefined;
    return event?.type === undefined ? [] : [event.type];
  });
}

const inTeam = { namespace: 'team-a', name: 'revokers' };
const rbac = 'rbac.authorization.k8s.io';
const revokers = [
  {
    apiVersion: `${rbac}/v1`,
    kind: 'Role',
    metadata: inTeam,
    rules: [{ apiGroups: ['mcpkeyring.io'], resources: ['mcpservers'], verbs: ['revoke'] }],
  },
  {
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: inTeam,
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'revokers' },
    subjects: [{ apiGroup: rbac, kind: 'User', name: 'eve' }],
  },
];

describe('the life of a user key', () => {
  test('begins with a request of the user', async () => {
    await setKey('Authorization');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    expect(await sealedSecrets()).toHaveLength(1);
    const keysOf = async () => (await find(plane, 'mcps/github', '-n', 'team-a'))?.status?.['keys'];
    await expect.poll(keysOf, patience).toMatchObject({ users: 1, configured: 1, missing: 0 });
  });

  test('follows a policy that asks for more, and names what is missing', async () => {
    const metadata = { name: 'strict', namespace: 'team-a' };
    const spec = { servers: { selector: {} }, keys: { required: ['X-Team'] } };
    await applyAll(plane, [{ apiVersion: 'mcpkeyring.io/v1alpha1', kind: 'UserKeyPolicy', metadata, spec }]);
    await expect.poll(state, patience).toBe('NeedsUpdate Ready=False/HeadersMissing');
    const message = (await userKey())?.status?.conditions?.[0]?.message;
    expect(message).toContain('X-Team');
    await setKey('X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
  });

  test('shows that the sealed key was taken away, and keeps what is on record', async () => {
    const before = await version();
    await plane.kubectl(['delete', 'secrets', '--all', '-n', keyNamespace]);
    await expect.poll(state, patience).toBe('Missing Ready=False/KeyMissing');
    expect(await version()).toBe(before);
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    expect(await version()).toBeGreaterThan(before);
  });

  test('refuses an older sealed key that somebody put back', async () => {
    const [older] = await sealedSecrets();
    const before = await version();
    await setKey('Authorization');
    await expect.poll(version, patience).toBeGreaterThan(before);
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    await putBack(older!);
    await expect.poll(state, patience).toBe('Missing Ready=False/KeyRolledBack');
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    const events = await list('events.events.k8s.io', 'team-a');
    const alarms = events.filter((event) => event['reason'] === 'KeyRolledBack');
    expect(alarms).toHaveLength(1);
    expect(alarms[0]?.['series']).toBeUndefined();
  });

  test('ends with its UserKey: the sealed key is destroyed, that is on record, and only then it is gone', async () => {
    const [destroyed] = await sealedSecrets();
    const name = (await userKey())?.metadata.name;
    await plane.kubectl(['delete', `uk/${name}`, '-n', 'team-a', '--timeout=15s']);
    expect(await sealedSecrets()).toEqual([]);
    expect(await userKey()).toBeUndefined();
    expect(auditTypes().filter((type) => type === 'key.destroyed')).toHaveLength(1);
    expect(auditTypes().filter((type) => type === 'key.set')).toHaveLength(5);
    gone = destroyed;
  });

  test('does not begin again with the destroyed key, even when somebody puts it back', async () => {
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    await putBack(gone!);
    await expect.poll(state, patience).toBe('Missing Ready=False/KeyRolledBack');
  });

  test('keeps a user from nothing by being put back: they set another key', async () => {
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
  });

  test('comes back from a backup together with what is on record, and not without', async () => {
    const [sealed] = await sealedSecrets();
    const { status, ...userKeyNow } = (await userKey())!;
    const backup = copyOf({ ...userKeyNow, status: { version: status?.['version'] } });
    await plane.kubectl(['delete', `uk/${userKeyNow.metadata.name}`, '-n', 'team-a', '--timeout=15s']);
    await plane.kubectl(['create', '-f', '-'], copyOf(sealed!));
    await plane.kubectl(['apply', '--server-side', '-f', '-'], backup);
    await expect.poll(state, patience).toBe('Missing Ready=False/KeyMissing');
    await plane.kubectl(['apply', '--server-side', '--subresource=status', '-f', '-'], backup);
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    expect(await version()).toBe(status?.['version']);
  });

  test('is Invalid in the version that the upstream refuses, whoever marks it and however often, until the next one', async () => {
    const transport = createTransport({ source: plane.source, userAgent: 'mcp-keyring-operator/test' });
    const client = createKubeClient({ transport });
    const marked = (await userKey()) as unknown as UserKey;
    const refused = await version();
    const recorded: AuditEvent[] = [];
    const marker = {
      client,
      userKeys: { get: () => marked },
      mcpServers: { get: () => undefined },
      sharedKeys: { versionOf: () => undefined },
      tenancy: { organizationOf: () => ({ kind: 'none' }) as const },
      audit: { append: async (event: AuditEvent) => void recorded.push(event) },
      now: () => new Date(),
    };
    const subjectKey = marked.metadata.name.slice('github-'.length);
    const rejection = { server: { namespace: 'team-a', name: 'github' }, subjectKey, keyVersion: refused };
    // Two replicas at the same time.
    expect(await Promise.all([1, 2].map(() => markRejected(marker, rejection)))).toEqual(['marked', 'marked']);
    expect(new Set(recorded.map(({ id }) => id)).size).toBe(1);
    await expect.poll(state, patience).toBe('Invalid Ready=False/KeyRejected');
    const keysOf = async () => (await find(plane, 'mcps/github', '-n', 'team-a'))?.status?.['keys'];
    await expect.poll(keysOf, patience).toMatchObject({ users: 1, configured: 0, invalid: 1 });
    const lower = JSON.stringify({ status: { rejected: { version: refused - 1 } } });
    const patch = ['patch', `uk/${marked.metadata.name}`, '-n', 'team-a', '--subresource=status', '--type=merge'];
    await expect(plane.kubectl([...patch, '-p', lower])).rejects.toThrow('never goes down');
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
    expect((await userKey())?.status?.['rejected']).toMatchObject({ version: refused });
    await client.close();
  });

  test(verifies('revocation:one-way'), async () => {
    const transport = createTransport({ source: plane.source, userAgent: 'mcp-keyring-operator/test' });
    const client = createKubeClient({ transport });
    const found = (await userKey()) as unknown as UserKey;
    const order = { actor: 'root', orderedAt: new Date(), reason: 'it was in a log' };
    const revoke = () => registerRevocation({ client, now: () => new Date() }, found, { order, stored: undefined });
    const revoked = await revoke();
    expect(revoked).toMatchObject({ by: 'root', reason: 'it was in a log' });
    expect(revoked!.version).toBeGreaterThan(await version());
    // A second attempt at the same order.
    expect(await revoke()).toEqual(revoked);
    const patch = ['patch', `uk/${found.metadata.name}`, '-n', 'team-a', '--subresource=status', '--type=merge', '-p'];
    const lower = { status: { revoked: { version: revoked!.version - 1 } } };
    for (const status of [lower, { status: { revoked: null } }, { status: null }]) {
      await expect(plane.kubectl([...patch, JSON.stringify(status)])).rejects.toThrow('never goes down nor away');
    }
    const { apiVersion, kind, metadata, spec } = found;
    const emptied = { apiVersion, kind, spec, metadata: { namespace: 'team-a', name: metadata.name }, status: {} };
    const apply = [
      'apply',
      '--server-side',
      '--subresource=status',
      '--field-manager=mcp-keyring-revocation',
      '-f',
      '-',
    ];
    await expect(plane.kubectl(apply, JSON.stringify(emptied))).rejects.toThrow('never goes down nor away');
    await setKey('Authorization', 'X-Team');
    expect(await version()).toBeGreaterThan(revoked!.version);
    expect((await userKey())?.status?.['revoked']).toEqual(revoked);
    await client.close();
  });

  test('ends at once when its user revokes it, and begins again with the next', async () => {
    const [sealed] = await sealedSecrets();
    const control = { v: 1, operation: 'revoke', whose: 'own', server: 'github', reason: 'lost' } as const;
    const answer = await order(plane, ada, { control, headers: [] });
    expect(answer).toMatchObject({ outcome: 'ok', revoked: [{ server: 'github', version: await version() }] });
    expect(await sealedSecrets()).toEqual([]);
    expect((await userKey())?.status?.['revoked']).toMatchObject({ by: 'ada', reason: 'lost' });
    expect(auditTypes().filter((type) => type === 'key.revoked')).toHaveLength(1);
    await plane.kubectl(['create', '-f', '-'], copyOf(sealed!));
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
  });

  test('is revoked by others only with the right to', async () => {
    const control = { v: 1, operation: 'revoke', whose: 'user', user: 'ada', server: 'github' } as const;
    const eve = { namespace: 'team-a', username: 'eve' };
    expect(await order(plane, eve, { control, headers: [] })).toMatchObject({ outcome: 'refused', code: 'Forbidden' });
    await applyAll(plane, revokers);
    expect(await order(plane, eve, { control, headers: [] })).toMatchObject({
      outcome: 'ok',
      revoked: [{ server: 'github' }],
    });
    expect((await userKey())?.status?.['revoked']).toMatchObject({ by: 'eve' });
    await setKey('Authorization', 'X-Team');
    await expect.poll(state, patience).toBe('Configured Ready=True/Configured');
  });

  test('leaves its value nowhere', async () => {
    const kinds = 'org,mcps,ukp,uk,ukr,secret,configmap,events.events.k8s.io';
    const everything = await plane.kubectl(['get', kinds, '-A', '-o', 'json']);
    const said = JSON.stringify(operator.lines) + (await operator.get('/metrics')).text;
    for (const form of [secretValue, Buffer.from(secretValue).toString('base64').slice(0, 30)]) {
      expect(everything).not.toContain(form);
      expect(said).not.toContain(form);
    }
  });
});
