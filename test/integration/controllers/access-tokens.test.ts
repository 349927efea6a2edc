import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { accessTokenHash, newAccessToken } from '#cli/contract/access-token.ts';
import type { UserKeyControl } from '#cli/contract/request-control.ts';
import { verifies } from '#test/requirements.ts';
import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';

import { applyAll, installPrerequisites, OperatorProcess } from './installation.ts';
import { brief, find, namespace, organization, server } from './objects.ts';
import { order } from './user.ts';

const patience = { timeout: 15_000, interval: 200 };
const issuers = [{ name: 'cluster', type: 'Kubernetes', audiences: ['keyring'] }];
let plane: ControlPlane;
let operator: OperatorProcess;

beforeAll(async () => {
  plane = await startControlPlane();
  await installPrerequisites(plane);
  operator = await OperatorProcess.start(plane);
  await operator.said('this replica is the leader');
  await applyAll(plane, [
    organization('acme', { identity: { issuers, accessTokens: { enabled: true, maxAge: '30d' } } }),
    organization('other'),
    namespace('team-a', { org: 'acme' }),
    namespace('team-b', { org: 'other' }),
    server('team-a', 'github'),
    server('team-b', 'github'),
  ]);
  await vi.waitFor(async () => {
    for (const place of ['team-a', 'team-b']) {
      const seen = brief(await find(plane, 'mcps/github', '-n', place));
      if (!seen.includes('Ready=False/NoPods')) throw new Error(`not reconciled yet: ${seen}`);
    }
  }, patience);
});

afterAll(async () => {
  await operator?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

const ask = (control: UserKeyControl, place = 'team-a') =>
  order(plane, { namespace: place, username: 'ada' }, { control, headers: [] });

const audited = (type: string) =>
  operator.lines.flatMap(({ audit }) => {
    const event = audit as { readonly type?: string } | undefined;
    return event?.type === type ? [event] : [];
  });

describe('an access token of a user of the cluster', () => {
  const secret = newAccessToken();
  let id = '';

  test('is made through a sealed request, and etcd holds its hash alone', async () => {
    verifies('tokens:create');
    const hash = accessTokenHash(secret);
    const answer = await ask({ v: 1, operation: 'token-create', hash, servers: ['github'], title: 'laptop' });
    expect(answer).toMatchObject({ outcome: 'ok', token: { servers: ['github'], title: 'laptop' } });
    const all = await plane.kubectl(['get', 'accesstokens,userkeyrequests', '-A', '-o', 'json']);
    expect(all).toContain(hash);
    expect(all).not.toContain(secret.slice(4, 40));
    ({ id } = (answer as unknown as { token: { id: string } }).token);
    await expect.poll(() => audited('token.created')).toMatchObject([{ token: id, organization: 'acme' }]);
  });

  test('is not to be had in an organization that has none, whatever another one allows', async () => {
    verifies('organizations:separate');
    const hash = accessTokenHash(newAccessToken());
    const answer = await ask({ v: 1, operation: 'token-create', hash, servers: ['github'] }, 'team-b');
    expect(answer).toMatchObject({ outcome: 'refused', code: 'TokenRefused' });
  });

  test('is listed, and revoked for good', async () => {
    verifies('tokens:own');
    expect(await ask({ v: 1, operation: 'token-list' })).toMatchObject({ tokens: [{ id, title: 'laptop' }] });
    expect(await ask({ v: 1, operation: 'token-list' }, 'team-b')).toMatchObject({ tokens: [] });
    expect(await ask({ v: 1, operation: 'token-revoke', id })).toMatchObject({ revoked: true });
    expect(await find(plane, `accesstoken/${id}`, '-n', 'team-a')).toBeUndefined();
    await expect
      .poll(() => audited('token.revoked'))
      .toMatchObject([{ token: id, actor: expect.any(String) as string }]);
  });

  test('that an administrator deletes is on record as revoked', async () => {
    verifies('tokens:revoke');
    const hash = accessTokenHash(newAccessToken());
    const made = (await ask({ v: 1, operation: 'token-create', hash, servers: ['github'] })) as {
      token?: { id: string };
    };
    await plane.kubectl(['delete', 'accesstoken', made.token?.id ?? '', '-n', 'team-a']);
    await expect.poll(() => audited('token.revoked'), patience).toHaveLength(2);
  });
});
