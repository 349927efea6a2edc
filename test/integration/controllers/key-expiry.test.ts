/** Keys that get old, with the operator as the image runs it and a real API server. */
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { verifies } from '#test/requirements.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, OperatorProcess } from './installation.ts';
import { brief, find, namespace, organization } from './objects.ts';
import { order } from './user.ts';

const apiVersion = 'mcpkeyring.io/v1alpha1';
const ada = { namespace: 'team-a', username: 'ada' };
const withinMs = 2_000;

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
      apiVersion,
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'team-a' },
      spec: { upstream: { workload: { port: 8080 } }, authentication: { headers: [{ name: 'Authorization' }] } },
    },
    policyWith({ maxAge: '20s', warnBefore: '12s' }),
  ]);
  await vi.waitFor(
    async () => {
      const seen = brief(await find(plane, 'ukp/age', '-n', 'team-a'));
      if (!seen.includes('Ready=True/Bound')) throw new Error(`not reconciled yet: ${seen}`);
    },
    { timeout: 15_000, interval: 200 },
  );
}, 120_000);

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

function policyWith(expiry: object): object {
  const spec = { servers: { names: ['github'] }, expiry };
  return { apiVersion, kind: 'UserKeyPolicy', metadata: { name: 'age', namespace: 'team-a' }, spec };
}

async function theUserKey() {
  const output = await plane.kubectl(['get', 'uk', '-n', 'team-a', '-o', 'json']);
  return (JSON.parse(output) as { items: readonly Parameters<typeof brief>[0][] }).items[0];
}

/** What each place says, read once. */
async function everywhere() {
  const [userKey, server, metrics, listed] = await Promise.all([
    theUserKey(),
    find(plane, 'mcps/github', '-n', 'team-a'),
    operator.get('/metrics'),
    order(plane, ada, { control: { v: 1, operation: 'list' }, headers: [] }),
  ]);
  return {
    userKey: userKey?.status?.['state'],
    condition: brief(userKey),
    counts: server?.status?.['keys'],
    metric: /mcpkeyring_user_keys\{namespace="team-a",server="github",state="(\w+)"\} 1/u.exec(metrics.text)?.[1],
    listed: listed.outcome === 'ok' && listed.operation === 'list' ? listed.keys[0]?.state : listed,
  };
}

test(
  verifies('expiry:everywhere'),
  async () => {
    const headers = [{ name: 'Authorization', value: Buffer.from('sk-never-to-be-seen-0815') }];
    const set = await order(plane, ada, { control: { v: 1, operation: 'set', server: 'github' }, headers });
    if (set.outcome !== 'ok' || set.operation !== 'set') throw new Error(JSON.stringify(set));
    const { version = 0, expiresAt } = set.key;
    expect(set.key.state).toBe('Configured');
    expect(expiresAt).toBe(new Date(version + 20_000).toISOString());

    await sleep(version + 8_000 + withinMs - Date.now());
    expect(await everywhere()).toMatchObject({
      userKey: 'Expiring',
      condition: 'Ready=True/KeyExpiring',
      counts: { users: 1, configured: 0, expiring: 1, expired: 0 },
      metric: 'Expiring',
      listed: 'Expiring',
    });

    await sleep(version + 20_000 + withinMs - Date.now());
    expect(await everywhere()).toMatchObject({
      userKey: 'Expired',
      condition: 'Ready=False/KeyExpired',
      counts: { users: 1, configured: 0, expired: 1 },
      metric: 'Expired',
      listed: 'Expired',
    });
    const columns = await plane.kubectl(['get', 'uk', '-n', 'team-a']);
    expect(columns).toMatch(/EXPIRES/u);
    expect(columns).toContain(expiresAt);

    await applyAll(plane, [policyWith({ maxAge: '90d' })]);
    await sleep(withinMs);
    expect(await everywhere()).toMatchObject({
      userKey: 'Configured',
      condition: 'Ready=True/Configured',
      counts: { users: 1, configured: 1, expiring: 0, expired: 0 },
      metric: 'Configured',
      listed: 'Configured',
    });
  },
  90_000,
);
