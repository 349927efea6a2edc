import { describe, expect, test } from 'vitest';

import { accessTokenHash, newAccessToken } from '#cli/contract/access-token.ts';
import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import { TokenOrders } from '#operator/access-tokens/token-orders.ts';
import type { AuditEvent } from '#operator/audit/audit-log.ts';
import { unauthenticated } from '#operator/identity/identification-results.ts';
import { accessTokens } from '#operator/kube/keyring-resources.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';
import { verifies } from '#test/requirements.ts';

import { namespace, organization, testIntake } from '../intake/fixtures.ts';

const allowing = { ...organization, accessTokens: { maxAgeMs: 90 * 86_400_000 } } as Tenancy;

async function world(tenancy: Tenancy = allowing) {
  const audited: AuditEvent[] = [];
  const audit = {
    append: (event: AuditEvent) => {
      audited.push(event);
      return Promise.resolve();
    },
  };
  const box: { orders?: TokenOrders } = {};
  const intake = await testIntake({
    tenancy: { organizationOf: () => tenancy },
    identifier: { identify: () => Promise.resolve(unauthenticated('CredentialMalformed')) },
    tokenOrders: {
      carryOut: (order, request) => {
        if (box.orders === undefined) throw new Error('not there yet');
        return box.orders.carryOut(order, request);
      },
    },
  });
  const tokens = intake.cluster.informer<AccessToken>(accessTokens).store;
  box.orders = new TokenOrders({ client: intake.cluster.client, tokens, audit, now: () => intake.clock.now });
  const create = (change: Partial<Extract<UserKeyControl, { operation: 'token-create' }>> = {}, username = 'alice') => {
    const hash = accessTokenHash(newAccessToken());
    return intake.ask({ v: 1, operation: 'token-create', hash, servers: ['github'], ...change }, {}, username);
  };
  const list = (username = 'alice') => intake.ask({ v: 1, operation: 'token-list' }, {}, username);
  const revoke = (id: string, username = 'alice') => intake.ask({ v: 1, operation: 'token-revoke', id }, {}, username);
  return { ...intake, tokens, audited, create, list, revoke };
}

const refused = { outcome: 'refused', code: 'TokenRefused' };

describe('a user', () => {
  test('makes a token whose hash alone is stored, in their own name, and it is on record', async () => {
    verifies('tokens:create');
    const { create, tokens, audited } = await world();
    const hash = accessTokenHash(newAccessToken());
    const answer = await create({ hash, lifeSeconds: 3_600, title: 'laptop' });
    expect(answer).toMatchObject({ outcome: 'ok', token: { servers: ['github'], title: 'laptop' } });
    const owner = { issuer: 'kubernetes', id: 'alice' };
    expect(tokens.listNamespace(namespace)).toMatchObject([{ spec: { organization: 'default', owner, hash } }]);
    expect(audited).toMatchObject([{ type: 'token.created', actor: 'alice', servers: ['github'] }]);
  });

  test('sees and revokes their own tokens only', async () => {
    verifies('tokens:own');
    const { create, list, revoke, tokens, audited } = await world();
    await create({}, 'alice');
    await create({}, 'bob');
    const [own] = ((await list('alice')) as unknown as { tokens: { id: string }[] }).tokens;
    expect(await list('bob')).toMatchObject({ tokens: [{ id: expect.not.stringMatching(own?.id ?? '') as string }] });
    expect(await revoke(own?.id ?? '', 'bob')).toMatchObject({ outcome: 'ok', revoked: false });
    expect(tokens.listNamespace(namespace)).toHaveLength(2);
    expect(await revoke(own?.id ?? '', 'alice')).toMatchObject({ revoked: true });
    expect(tokens.listNamespace(namespace)).toHaveLength(1);
    expect(audited.at(-1)).toMatchObject({ type: 'token.revoked', token: own?.id, actor: 'alice' });
  });

  test('cannot take over a token by its hash', async () => {
    verifies('tokens:own');
    const { create, tokens } = await world();
    const hash = accessTokenHash(newAccessToken());
    await create({ hash }, 'alice');
    expect(await create({ hash }, 'mallory')).toMatchObject(refused);
    expect(tokens.listNamespace(namespace)).toMatchObject([{ spec: { owner: { id: 'alice' } } }]);
  });

  test('gets no token with an access token: it is no login', async () => {
    verifies('tokens:own');
    const { create, tokens } = await world();
    expect(await create({ token: newAccessToken() })).toMatchObject({ outcome: 'refused', code: 'Unauthenticated' });
    expect(tokens.listNamespace(namespace)).toEqual([]);
  });

  test.each<[string, Parameters<Awaited<ReturnType<typeof world>>['create']>[0], Tenancy]>([
    ['where there are none', {}, organization],
    ['that lives longer than the organization allows', { lifeSeconds: 91 * 86_400 }, allowing],
    ['for a server that is not there', { servers: ['github', 'nowhere'] }, allowing],
  ])('gets no token %s', async (_, change, tenancy) => {
    verifies('tokens:create');
    const { create, tokens } = await world(tenancy);
    expect(await create(change)).toMatchObject(refused);
    expect(tokens.listNamespace(namespace)).toEqual([]);
  });

  test('has a bounded number of them', async () => {
    const { create } = await world();
    for (let count = 0; count < 20; count += 1) expect(await create()).toMatchObject({ outcome: 'ok' });
    expect(await create()).toMatchObject(refused);
  });
});
