import { beforeEach, describe, expect, test } from 'vitest';

import { accessTokenHash, newAccessToken } from '#cli/contract/access-token.ts';
import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import { followSources } from '#operator/broker/follow-sources.ts';
import { verifies } from '#test/requirements.ts';
import {
  alice,
  bob,
  brokerWorld,
  github,
  mcpServer,
  podOf,
  subjectKeyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const secret = newAccessToken();
const day = 86_400_000;

function tokenOf(
  change: Partial<AccessToken['spec']> = {},
  metadata: Partial<AccessToken['metadata']> = {},
): AccessToken {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'AccessToken',
    metadata: {
      namespace: github.namespace,
      name: 'mkt-1',
      uid: 'uid-of-mkt-1',
      creationTimestamp: '2026-11-24T09:00:00Z',
      ...metadata,
    },
    spec: {
      organization: 'default',
      owner: alice,
      groups: ['dev'],
      servers: [github.name],
      hash: accessTokenHash(secret),
      expiresAt: '2026-12-24T09:00:00Z',
      ...change,
    },
    status: { usedAt: '2026-11-24T09:59:00Z' },
  };
}

let world: BrokerWorld;

beforeEach(() => {
  world = brokerWorld();
  world.keyStore.set(alice, { Authorization: 'ghp_of-alice' });
  world.sources.userKeys.put(userKeyOf(alice));
  enable({ maxAgeMs: 90 * day });
});

function enable(accessTokens?: { maxAgeMs: number }, name = 'default', namespace = 'team-a'): void {
  const was = world.tenancies.get('team-a');
  if (was?.kind !== 'organization') throw new Error('team-a has an organization');
  const { issuers } = was;
  world.tenancies.set(namespace, { kind: 'organization', name, issuers, ...(accessTokens && { accessTokens }) });
}

async function lease(credential = secret, server = github, pod = 'pod:team-a/github-0') {
  return readAnswer(await servicesOf(world).leases.lease({ server, credential }, pod));
}

describe('an access token', () => {
  test('gets the key of the user who made it, and asks nobody who that is', async () => {
    verifies('tokens:use');
    world.sources.accessTokens.put(tokenOf());
    expect(await lease()).toMatchObject({ decision: 'granted', subject: alice, subjectKey: subjectKeyOf(alice) });
    expect(world.identified).toEqual([]);
    expect(world.reviews.asked).toHaveLength(1);
  });

  test('is looked up by its hash, and stands neither in the audit log nor in an answer', async () => {
    world.sources.accessTokens.put(tokenOf({}, { uid: 'other' }));
    const answer = await lease();
    expect(JSON.stringify([answer, world.audit.events])).not.toContain(secret.slice(4));
  });

  test('ends a lease with itself', async () => {
    world.sources.accessTokens.put(tokenOf({ expiresAt: '2026-11-24T10:00:07Z' }));
    expect(await lease()).toMatchObject({ decision: 'granted', ttlMs: 7_000 });
  });
});

describe('an access token is of no use', () => {
  const cases: readonly [string, () => void][] = [
    ['that nobody made', () => undefined],
    [
      'that was revoked',
      () => {
        world.sources.accessTokens.put(tokenOf());
        world.sources.accessTokens.remove(tokenOf());
      },
    ],
    [
      'that is being deleted',
      () => world.sources.accessTokens.put(tokenOf({}, { deletionTimestamp: '2026-11-24T10:00:00Z' })),
    ],
    ['for another server', () => world.sources.accessTokens.put(tokenOf({ servers: ['jira'] }))],
    ['of another namespace', () => world.sources.accessTokens.put(tokenOf({}, { namespace: 'team-b' }))],
    [
      'of another organization, in a namespace that was moved',
      () => world.sources.accessTokens.put(tokenOf({ organization: 'other' })),
    ],
    [
      'whose owner comes from an issuer that is not trusted any more',
      () => world.sources.accessTokens.put(tokenOf({ owner: { ...alice, issuer: 'https://gone.example' } })),
    ],
    [
      'of a Kubernetes user where these are not trusted',
      () => world.sources.accessTokens.put(tokenOf({ owner: { issuer: 'kubernetes', id: 'alice', name: 'alice' } })),
    ],
    [
      'in an organization that has none',
      () => {
        world.sources.accessTokens.put(tokenOf());
        enable();
      },
    ],
  ];

  test.each(cases)('%s; which of these it is nobody learns', async (_, arrange) => {
    verifies('tokens:refused');
    arrange();
    expect(await lease()).toEqual({
      decision: 'unauthenticated',
      reason: 'SignatureInvalid',
      message: expect.stringContaining('not known here') as string,
    });
    expect(world.keyStore.calls).toEqual([]);
  });

  test.each<[string, Partial<AccessToken['spec']>, number]>([
    ['that has ended', { expiresAt: '2026-11-24T09:59:59Z' }, 90 * day],
    ['that is older than the organization now allows', {}, 60_000],
    ['with an end that cannot be read', { expiresAt: 'soon' }, 90 * day],
  ])('%s', async (_, change, maxAgeMs) => {
    verifies('tokens:refused');
    world.sources.accessTokens.put(tokenOf(change));
    enable({ maxAgeMs });
    expect(await lease()).toMatchObject({ decision: 'unauthenticated', reason: 'TokenExpired' });
  });

  test('that was mistyped, and its user is told so', async () => {
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    expect(await lease(wrong)).toMatchObject({ reason: 'CredentialMalformed' });
  });

  test("at the pod of another organization's server, also when somebody there made one of the same hash", async () => {
    verifies('organizations:separate');
    const theirs = { namespace: 'team-b', name: 'github' };
    enable({ maxAgeMs: 90 * day }, 'b', 'team-b');
    world.sources.mcpServers.put(mcpServer(theirs));
    world.sources.pods.put(podOf(theirs, 'b-0'));
    world.sources.accessTokens.put(tokenOf());
    expect(await lease(secret, theirs, 'pod:team-b/b-0')).toMatchObject({ decision: 'unauthenticated' });
    const copy = tokenOf({ organization: 'b', owner: bob }, { namespace: 'team-b', uid: 'copy' });
    world.sources.accessTokens.put(copy);
    expect(await lease(secret, theirs, 'pod:team-b/b-0')).toMatchObject({ decision: 'missing', subject: bob });
    expect(await lease()).toMatchObject({ decision: 'granted', subject: alice });
  });
});

describe('the use of an access token', () => {
  test('is written once an hour, and its first use is on record once', async () => {
    verifies('tokens:use');
    const { status: _, ...unused } = tokenOf();
    world.sources.accessTokens.put(unused);
    await lease();
    await expect
      .poll(() => world.audit.events.filter(({ type }) => type === 'token.used'))
      .toMatchObject([
        { type: 'token.used', token: 'mkt-1', subject: alice, organization: 'default', servers: ['github'] },
      ]);
    world.sources.accessTokens.put(tokenOf());
    await lease();
    expect(world.audit.events.filter(({ type }) => type === 'token.used')).toHaveLength(1);
  });

  test('ends in every sidecar that holds a lease for it as soon as it is deleted, and not when its status changes', () => {
    verifies('tokens:revoke');
    const invalidated: unknown[] = [];
    world.sources.accessTokens.put(tokenOf({ servers: ['github', 'jira'] }));
    followSources({
      sources: world.sources,
      referencedSecrets: world.referencedSecrets,
      keyStore: world.keyStore,
      hub: {
        invalidate: (server, subjectKey) => invalidated.push([server, subjectKey]),
        invalidateAll: () => undefined,
        refresh: () => undefined,
        endPod: () => undefined,
      },
    });
    invalidated.length = 0;
    world.sources.accessTokens.put({
      ...tokenOf({ servers: ['github', 'jira'] }),
      status: { usedAt: '2026-11-24T12:00:00Z' },
    });
    expect(invalidated).toEqual([]);
    world.sources.accessTokens.remove(tokenOf({ servers: ['github', 'jira'] }));
    expect(invalidated).toEqual([
      [github, subjectKeyOf(alice)],
      [{ namespace: 'team-a', name: 'jira' }, subjectKeyOf(alice)],
    ]);
  });
});
