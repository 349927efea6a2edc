/** Ends of keys that are not a matter of age, and their last use, with the operator as the image runs it and a real API server. */
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { createKubeClient } from '#operator/kube/api-client.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { EndRecorder } from '#operator/key-state/end-recorder.ts';
import { UseRecorder } from '#operator/key-state/use-recorder.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, OperatorProcess } from './installation.ts';
import { brief, find, namespace, organization } from './objects.ts';
import { order } from './user.ts';

const ada = { namespace: 'team-a', username: 'ada' };
const patience = { timeout: 15_000, interval: 100 };
const dayMs = 86_400_000;

let plane: ControlPlane;
let operator: OperatorProcess;

beforeAll(async () => {
  plane = await startControlPlane();
  await installPrerequisites(plane);
  operator = await OperatorProcess.start(plane);
  await operator.said('this replica is the leader');
  await applyAll(plane, [
    organization('acme'),
    namespace('team-a', { org: 'acme' }),
    {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'team-a' },
      spec: {
        upstream: { workload: { port: 8080 } },
        authentication: { headers: [{ name: 'Authorization' }, { name: 'X-Team', required: false }] },
      },
    },
  ]);
}, 120_000);

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

async function userKey(): Promise<UserKey> {
  const { items } = JSON.parse(await plane.kubectl(['get', 'uk', '-n', 'team-a', '-o', 'json'])) as {
    items: UserKey[];
  };
  if (items[0] === undefined) throw new Error('there is no UserKey');
  return items[0];
}

async function set(values: Readonly<Record<string, string>>, end: { readonly lifeSeconds?: number } = {}) {
  const headers = Object.entries(values).map(([name, value]) => ({ name, value: Buffer.from(value) }));
  return await order(plane, ada, { control: { v: 1, operation: 'set', server: 'github', ...end }, headers });
}

const header = async (name: string) => (await userKey()).status?.headers?.find((one) => one.name === name);

test('what a user, a value and an upstream say of the end of a key, and when it was used, stand in its UserKey side by side', async () => {
  await expect.poll(async () => brief(await find(plane, 'mcps/github', '-n', 'team-a')), patience).toContain('Ready=');
  const nowMs = Date.now();
  const expSeconds = Math.floor((nowMs + 200 * dayMs) / 1_000);
  const token = [{ alg: 'none' }, { exp: expSeconds }].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  await set({ Authorization: `${token.join('.')}.c2ln` });
  await set({ 'X-Team': 'blue' }, { lifeSeconds: 300 * 86_400 });
  await expect.poll(async () => (await header('X-Team'))?.state, patience).toBe('Configured');
  const inToken = new Date(expSeconds * 1_000).toISOString();
  expect(await header('Authorization')).toMatchObject({ detectedExpiresAt: inToken, expiresAt: inToken });
  expect((await header('X-Team'))?.declaredExpiresAt).toBe((await header('X-Team'))?.expiresAt);
  expect((await userKey()).status?.expiresAt).toBe(inToken);

  const transport = createTransport({ source: plane.source, userAgent: 'mcp-keyring-operator/test' });
  const options = {
    client: createKubeClient({ transport }),
    log: silentLog,
    now: () => new Date(),
    monotonicMs: () => 0,
  };
  const [ends, uses] = [new EndRecorder(options), new UseRecorder(options)];
  const before = await userKey();
  const toldMs = Date.now() + 6_000;
  ends.told(before, before.status?.version ?? 0, toldMs);
  uses.used(before);
  await Promise.all([ends.close(), uses.close()]);
  const toldAt = new Date(toldMs).toISOString();
  await expect
    .poll(async () => await header('Authorization'), patience)
    .toMatchObject({
      state: 'Expired',
      reason: 'DetectedExpiry',
      detectedExpiresAt: toldAt,
      usedAt: expect.any(String),
    });
  expect(await header('X-Team')).toMatchObject({ state: 'Configured', usedAt: expect.any(String) });
  const { status } = await userKey();
  expect(status).toMatchObject({ state: 'Expired', expiresAt: toldAt, version: before.status?.version });
  expect(brief(await find(plane, `uk/${before.metadata.name}`, '-n', 'team-a'))).toBe('Ready=False/KeyExpired');
  expect(status?.conditions?.[0]?.message).toContain('(DetectedExpiry)');
  const columns = await plane.kubectl(['get', 'uk', '-n', 'team-a']);
  expect(columns).toMatch(/EXPIRES\s+LAST-USED/u);
  expect(columns).toMatch(new RegExp(`${toldAt}\\s+\\d+s`, 'u'));
  const listed = await order(plane, ada, { control: { v: 1, operation: 'list' }, headers: [] });
  expect(listed).toMatchObject({
    keys: [{ state: 'Expired', expiresAt: toldAt, expiryReason: 'DetectedExpiry', usedAt: status?.usedAt }],
  });
}, 60_000);

test('a key that is set after that is another one: neither what was told of the one before nor its use is about it', async () => {
  await set({ Authorization: 'ghp_without-an-end' });
  await expect.poll(async () => (await header('Authorization'))?.state, patience).toBe('Configured');
  expect(await header('Authorization')).not.toHaveProperty('detectedExpiresAt');
  expect(await header('Authorization')).not.toHaveProperty('usedAt');
  expect((await userKey()).status?.expiresAt).toBe((await header('X-Team'))?.declaredExpiresAt);
}, 60_000);
