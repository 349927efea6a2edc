import { describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { OutcomeIntake } from '#operator/broker/outcomes.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import { verifies } from '#test/requirements.ts';
import {
  alice,
  bob,
  brokerWorld,
  github,
  mcpServer,
  podOf,
  policyOf,
  subjectKeyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const podToken = 'pod:team-a/github-0';
const secret = { namespace: 'team-a', name: 'github-shared' };
type Mode = McpServer['spec']['authentication']['mode'];

function serverOf(mode: Mode): McpServer {
  const server = mcpServer();
  const authentication = { ...server.spec.authentication, mode, sharedKeySecretRef: { name: secret.name } };
  return { ...server, spec: { ...server.spec, authentication } };
}

function worldOf(mode: Mode, plan?: 'Standard'): BrokerWorld {
  const world = brokerWorld();
  world.sources.mcpServers.put(serverOf(mode));
  world.referencedSecrets.put(secret, { Authorization: 'shared-key\n' }, 'github');
  const tenancy = world.tenancies.get('team-a');
  if (plan !== undefined && tenancy?.kind === 'organization') world.tenancies.set('team-a', { ...tenancy, plan });
  return world;
}

function ask(world: BrokerWorld, credential = 'token-of-alice', pod = podToken) {
  return servicesOf(world).leases.lease({ server: github, credential }, pod).then(readAnswer);
}

const sharedLease = {
  decision: 'granted',
  keySource: 'shared',
  keyVersion: 101,
  headers: [{ name: 'Authorization', value: 'Bearer shared-key' }],
};

function allZeroed(world: BrokerWorld): boolean {
  return world.referencedSecrets.opened.every(({ headers }) =>
    headers.every(({ value }) => {
      try {
        return value.bytes.every((byte) => byte === 0);
      } catch {
        return true;
      }
    }),
  );
}

describe('mode Shared', () => {
  test(verifies('shared-keys:everybody'), async () => {
    const world = worldOf('Shared');
    world.keyStore.set(alice, { Authorization: 'key-of-alice' });
    world.sources.userKeys.put(userKeyOf(alice));
    const services = servicesOf(world);
    for (const [credential, subject] of [
      ['token-of-alice', alice],
      ['token-of-bob', bob],
    ] as const) {
      const answer = readAnswer(await services.leases.lease({ server: github, credential }, podToken));
      expect(answer).toMatchObject({ ...sharedLease, subject, subjectKey: subjectKeyOf(subject), ttlMs: 30_000 });
    }
    expect(world.audit.events).toMatchObject([
      { type: 'lease', subject: alice, keyVersion: 101, keySource: 'shared', headerNames: ['Authorization'] },
      { type: 'lease', subject: bob, keyVersion: 101, keySource: 'shared' },
    ]);
    expect(services.released).toEqual(['shared', 'shared']);
    expect(JSON.stringify(world.audit.events)).not.toContain('shared-key');
    expect(world.keyStore.opened).toEqual([]);
    expect(allZeroed(world)).toBe(true);
  });

  test('gives nothing to a user whom nobody has let have a key, and all the rest to whom somebody has', async () => {
    for (const mode of ['Shared', 'PerUserOrShared'] as const) {
      const world = worldOf(mode);
      world.sources.userKeyPolicies.put(policyOf('asks', { approval: { required: true } }));
      expect(await ask(world)).toMatchObject({ decision: 'pendingApproval' });
      const approval = { state: 'Granted', at: '2026-11-24T09:00:00Z', by: 'eve' } as const;
      world.sources.userKeys.put(userKeyOf(alice, github, { approval }));
      expect(await ask(world)).toMatchObject(sharedLease);
      world.sources.userKeys.put(userKeyOf(alice, github, { approval: { ...approval, state: 'Refused' } }));
      expect(await ask(world)).toMatchObject({ decision: 'pendingApproval' });
    }
  });

  test('gives nothing to nobody known, nor without a record', async () => {
    const world = worldOf('Shared');
    expect(await ask(world, 'expired-token')).toMatchObject({ decision: 'unauthenticated' });
    world.audit.isDown = true;
    expect(await ask(world)).toMatchObject({ decision: 'denied', reason: 'AuditUnavailable' });
    expect(allZeroed(world)).toBe(true);
  });

  test.each<[string, (world: BrokerWorld) => void]>([
    ['says no server', ({ referencedSecrets }) => referencedSecrets.put(secret, { Authorization: 'k' }, undefined)],
    [
      'is meant for another server',
      ({ referencedSecrets }) => referencedSecrets.put(secret, { Authorization: 'k' }, 'jira'),
    ],
    [
      'has no required header',
      ({ referencedSecrets }) => referencedSecrets.put(secret, { 'X-Client-ID': 'c' }, 'github'),
    ],
    [
      'has two lines',
      ({ referencedSecrets }) => referencedSecrets.put(secret, { Authorization: 'a\nX-Evil: b' }, 'github'),
    ],
    ['is empty', ({ referencedSecrets }) => referencedSecrets.put(secret, { Authorization: '\n' }, 'github')],
    ['is not there', ({ referencedSecrets }) => referencedSecrets.become(secret, { kind: 'notFound' })],
    ['may not be read', ({ referencedSecrets }) => referencedSecrets.become(secret, { kind: 'forbidden' })],
  ])('gives nothing out of a Secret that %s', async (_, change) => {
    const world = worldOf('Shared');
    change(world);
    const answer = await ask(world);
    expect(answer).toMatchObject({ decision: 'missing', keySource: 'shared', hints: [] });
    expect((answer as { message: string }).message).toContain('kubectl describe mcps github -n team-a');
    expect(world.audit.events).toEqual([]);
    expect(allZeroed(world)).toBe(true);
  });

  test('says that nobody knows while the API server does not answer', async () => {
    const world = worldOf('Shared');
    world.referencedSecrets.failure = new KubeError('Unavailable', 'down');
    await expect(ask(world)).rejects.toMatchObject({ code: 'ERR_STORE_UNAVAILABLE' });
  });

  test(verifies('shared-keys:agents'), async () => {
    const world = worldOf('Shared');
    const remote = { url: 'https://mcp.example.com/mcp', allowPrivateAddresses: false };
    const server = serverOf('Shared');
    world.sources.mcpServers.put({ ...server, spec: { ...server.spec, upstream: { remote } } });
    world.tenancies.set('team-b', world.tenancies.get('team-a') ?? { kind: 'none' });
    const agentIn = (namespace: string): string => {
      const labels = { 'mcpkeyring.io/injected': 'true', 'mcpkeyring.io/agent': 'true' };
      const annotations = { 'mcpkeyring.io/injected-servers': 'team-a/github' };
      const name = `agent-of-${namespace}`;
      world.sources.agentPods.put(podOf({ namespace, name: 'agent' }, name, { labels, annotations }));
      return `pod:${namespace}/${name}`;
    };
    expect(await ask(world, 'token-of-alice', agentIn('team-a'))).toMatchObject(sharedLease);
    const refused = await ask(world, 'token-of-alice', agentIn('team-b'));
    expect(refused).toMatchObject({ decision: 'missing', keySource: 'shared' });
    expect((refused as { message: string }).message).toContain('not given to agents outside namespace team-a');
    expect(world.audit.events.at(-1)).toMatchObject({
      type: 'denied',
      reason: 'SharedKeyNotForAgents',
      subject: alice,
    });
  });
});

describe('mode PerUserOrShared', () => {
  test('gives a user their own key, and the shared one to a user without', async () => {
    verifies('shared-keys:fallback');
    const world = worldOf('PerUserOrShared');
    world.keyStore.set(alice, { Authorization: 'key-of-alice' });
    world.sources.userKeys.put(userKeyOf(alice));
    const own = await ask(world);
    expect(own).toMatchObject({ decision: 'granted', headers: [{ value: 'Bearer key-of-alice' }] });
    expect(own).not.toHaveProperty('keySource');
    expect(await ask(world, 'token-of-bob')).toMatchObject(sharedLease);
    expect(world.audit.events).toMatchObject([
      { subject: alice, keySource: 'user' },
      { subject: bob, keySource: 'shared' },
    ]);
  });

  const nowMs = new Date('2026-11-24T10:00:00.000Z').getTime();
  test.each<[string, (world: BrokerWorld) => void, string]>([
    [
      'revoked',
      (world) => {
        const revoked = { version: 1, at: '2026-11-24T09:00:00Z', by: 'root' };
        world.sources.userKeys.put(userKeyOf(alice, github, { version: 1, revoked }));
      },
      'invalid',
    ],
    [
      'pending',
      (world) => world.sources.userKeyPolicies.put(policyOf('asks', { approval: { required: true } })),
      'pendingApproval',
    ],
    [
      'rejected by the upstream',
      (world) => {
        const rejected = { version: 1, at: '2026-11-24T09:00:00Z' };
        world.sources.userKeys.put(userKeyOf(alice, github, { version: 1, state: 'Configured', rejected }));
      },
      'invalid',
    ],
    ['gone from the store', (world) => world.keyStore.stored.clear(), 'missing'],
    ['not stored yet', (world) => world.sources.userKeys.put(userKeyOf(alice, github, {})), 'missing'],
    ['incomplete', (world) => world.keyStore.set(alice, { 'X-Client-ID': 'c' }), 'missing'],
    ['unreadable', (world) => void (world.keyStore.failure = new KeyStoreError('Unreadable')), 'denied'],
    ['rolled back', (world) => world.sources.userKeys.put(userKeyOf(alice, github, { version: 9 })), 'denied'],
    [
      'being deleted',
      (world) => {
        const userKey = userKeyOf(alice);
        const metadata = { ...userKey.metadata, deletionTimestamp: '2026-11-24T09:00:00Z' };
        world.sources.userKeys.put({ ...userKey, metadata });
      },
      'missing',
    ],
    [
      'too old',
      (world) => {
        world.keyStore.set(alice, { Authorization: 'k' }, { version: nowMs - 7_200_000 });
        world.sources.userKeys.put(userKeyOf(alice, github, { version: nowMs - 7_200_000 }));
        world.sources.userKeyPolicies.put({
          apiVersion: 'mcpkeyring.io/v1alpha1',
          kind: 'UserKeyPolicy',
          metadata: { name: 'age', namespace: 'team-a' },
          spec: { servers: { selector: {} }, expiry: { maxAge: '1h' } },
        });
      },
      'expired',
    ],
  ])('puts no other key in the place of one that is %s', async (_, change, decision) => {
    verifies('shared-keys:no-silent-fallback');
    const world = worldOf('PerUserOrShared');
    world.keyStore.set(alice, { Authorization: 'key-of-alice' });
    world.sources.userKeys.put(userKeyOf(alice));
    change(world);
    expect(await ask(world)).toMatchObject({ decision });
    expect(world.referencedSecrets.opened).toEqual([]);
    expect(world.audit.events.filter(({ type }) => type === 'lease')).toEqual([]);
  });

  test('asks a user for their own key where the shared one is of no use', async () => {
    const world = worldOf('PerUserOrShared');
    world.referencedSecrets.become(secret, { kind: 'forbidden' });
    const answer = await ask(world);
    expect(answer).toMatchObject({ decision: 'missing', hints: [{ name: 'Authorization' }] });
    expect(answer).not.toHaveProperty('keySource');
    expect((answer as { message: string }).message).toContain('kubectl mcpkeys set github');
  });
});

describe('the plan Standard', () => {
  test(verifies('plans:standard'), async () => {
    for (const mode of ['Shared', 'PerUserOrShared'] as const) {
      const world = worldOf(mode, 'Standard');
      world.keyStore.set(alice, { Authorization: 'key-of-alice' });
      world.sources.userKeys.put(userKeyOf(alice));
      expect(await ask(world)).toMatchObject(sharedLease);
      expect(world.keyStore.opened).toEqual([]);
    }
    const world = worldOf('PerUser', 'Standard');
    world.keyStore.set(alice, { Authorization: 'key-of-alice' });
    world.sources.userKeys.put(userKeyOf(alice));
    const refused = await ask(world);
    expect(refused).toMatchObject({ decision: 'missing', keySource: 'shared', hints: [] });
    expect((refused as { message: string }).message).toContain('no keys of users');
    expect(world.keyStore.opened).toEqual([]);
  });

  test('lets servers that need no key be used', async () => {
    const world = worldOf('PerUser', 'Standard');
    const server = serverOf('PerUser');
    const authentication = { ...server.spec.authentication, headers: [] };
    world.sources.mcpServers.put({ ...server, spec: { ...server.spec, authentication } });
    expect(await ask(world)).toMatchObject({ decision: 'granted', headers: [] });
  });
});

describe('a shared key that the upstream refuses', () => {
  test(verifies('shared-keys:rejected'), async () => {
    const world = worldOf('Shared');
    world.sources.userKeys.put(userKeyOf(alice));
    const results: string[] = [];
    const { podGate, receipts, leases } = servicesOf(world);
    const intake = new OutcomeIntake({
      ends: { told: () => {} },
      ...world.options,
      userKeys: world.sources.userKeys.store,
      mcpServers: world.sources.mcpServers.store,
      sharedKeys: new SharedKeys(world.referencedSecrets),
      podGate,
      receipts,
      observer: { keyRejection: (result) => results.push(result) },
    });
    const lease = readAnswer(await leases.lease({ server: github, credential: 'token-of-alice' }, podToken));
    const { receipt, subjectKey, keyVersion } = lease as { receipt: string; subjectKey: string; keyVersion: number };
    const told = { subjectKey, keyVersion, outcome: 'rejected', receipt } as const;
    // The receipt of a shared key says nothing of a key of the user.
    expect(await intake.take({ server: github, outcomes: [told] }, podToken)).toBe(0);
    expect(await intake.take({ server: github, outcomes: [{ ...told, keySource: 'shared' }] }, podToken)).toBe(1);
    world.clock.nowMs += 10_000;
    await intake.settle();
    expect(results).toEqual(['unproven', 'marked']);
    const { status } = world.sources.mcpServers.store.get('team-a', 'github') ?? {};
    expect(status?.sharedKey?.rejected).toEqual({ version: 101, at: '2026-11-24T10:00:00.000Z' });
    expect(world.sources.userKeys.store.get('team-a', userKeyOf(alice).metadata.name)?.status).toEqual({ version: 1 });
    const [event] = world.audit.events.filter(({ type }) => type === 'key.rejected');
    expect(event).toMatchObject({ keyVersion: 101, keySource: 'shared', server: github });
    expect(event).not.toHaveProperty('subject');
    await intake.close();
  });
});
