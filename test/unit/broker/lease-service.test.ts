import type { UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { describe, expect, test } from 'vitest';

import { brokerLimits } from '#operator/broker/limits.ts';
import { unauthenticated } from '#operator/identity/identification-results.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import { KubeError } from '#operator/kube/errors.ts';
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

const key = 'ghp_the-key-of-alice';
const podToken = 'pod:team-a/github-0';

/** Alice has a key for the server. */
function worldWithKey(): BrokerWorld {
  const world = brokerWorld();
  world.keyStore.set(alice, { Authorization: key });
  world.sources.userKeys.put(userKeyOf(alice));
  return world;
}

function ask(world: BrokerWorld, credential = 'token-of-alice', asked: { server?: typeof github; pod?: string } = {}) {
  const { leases } = servicesOf(world);
  return leases.lease({ server: asked.server ?? github, credential }, asked.pod ?? podToken);
}

/** Every key that was opened is zeroed again. */
function allZeroed(world: BrokerWorld): boolean {
  return world.keyStore.opened.every((value) => {
    try {
      return value.bytes.every((byte) => byte === 0);
    } catch {
      return true;
    }
  });
}

describe('a lease', () => {
  test('says what holds for its user alone, granted or not', async () => {
    const world = worldWithKey();
    const subjects = { users: [alice.id] };
    const limits = { requests: [{ per: 'Day' as const, max: 3 }] };
    world.sources.userKeyPolicies.put(policyOf('mine', { subjects, tools: { deny: ['drop_*'] }, limits }));
    world.sources.userKeyPolicies.put(policyOf('all', { tools: { deny: ['purge'] } }));
    const userRules = {
      tools: [{ deny: ['drop_*'] }],
      limits: { rules: [{ bucket: 'mine/Day', per: 'Day', max: 3 }], onStoreFailure: 'Open' },
    };
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'granted', userRules });
    expect(readAnswer(await ask(world, 'token-of-bob'))).not.toHaveProperty('userRules');
    world.sources.userKeys.put(userKeyOf(alice, github, {}));
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'missing', userRules });
  });

  test('follows policies for its user: how old a key may get, and what has to be set', async () => {
    const world = worldWithKey();
    world.sources.userKeyPolicies.put(
      policyOf('mine', { subjects: { users: [alice.id] }, keys: { required: ['X-Client-ID'] } }),
    );
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'missing', hints: [{ name: 'X-Client-ID' }] });
    world.sources.userKeyPolicies.put(
      policyOf('mine', { subjects: { users: [bob.id] }, keys: { required: ['X-Client-ID'] } }),
    );
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'granted' });
  });

  test('has the headers of the user, and is on record', async () => {
    const world = worldWithKey();
    const answer = readAnswer(await ask(world));
    expect(answer).toMatchObject({
      decision: 'granted',
      subject: alice,
      subjectKey: subjectKeyOf(alice),
      headers: [{ name: 'Authorization', value: `Bearer ${key}` }],
      keyVersion: 1,
      ttlMs: 30_000,
    });
    expect(world.audit.events).toEqual([
      {
        id: expect.any(String),
        at: '2026-11-24T10:00:00.000Z',
        type: 'lease',
        organization: 'default',
        server: github,
        subject: alice,
        leaseId: (answer as { leaseId: string }).leaseId,
        keyVersion: 1,
        keySource: 'user',
        headerNames: ['Authorization'],
        pod: { name: 'github-0', uid: 'uid-of-github-0', node: 'node-1' },
        podCredentialId: 'JTI=github-0',
      },
    ]);
    expect(world.audit.events[0]?.id).not.toBe((answer as { leaseId: string }).leaseId);
    expect(JSON.stringify(world.audit.events)).not.toContain(key);
    expect(allZeroed(world)).toBe(true);
  });

  test(verifies('expiry:at-the-lease'), async () => {
    const world = worldWithKey();
    const nowMs = world.now().getTime();
    const askAtAge = async (ageMs: number, state: 'Configured' | 'Expired', onExpired?: 'Warn') => {
      world.sources.userKeyPolicies.put(policyOf('age', { expiry: { maxAge: '1h', ...(onExpired && { onExpired }) } }));
      world.keyStore.set(alice, { Authorization: key }, { version: nowMs - ageMs });
      world.sources.userKeys.put(userKeyOf(alice, github, { version: nowMs - ageMs, state }));
      return readAnswer(await ask(world)) as { decision: string; ttlMs: number };
    };
    const hourMs = 3_600_000;
    expect(await askAtAge(hourMs - 60_000, 'Configured')).toMatchObject({ decision: 'granted', ttlMs: 30_000 });
    expect(await askAtAge(hourMs - 20_000, 'Configured')).toMatchObject({ decision: 'granted', ttlMs: 20_000 });
    const refused = await askAtAge(hourMs, 'Configured');
    expect(refused).toMatchObject({
      decision: 'expired',
      message: expect.stringContaining('kubectl mcpkeys set github'),
    });
    expect(JSON.stringify(refused)).not.toContain(key);
    // A key that was just set does not wait for its status.
    expect(await askAtAge(0, 'Expired')).toMatchObject({ decision: 'granted' });
    expect(await askAtAge(hourMs * 9, 'Expired', 'Warn')).toMatchObject({ decision: 'granted', ttlMs: 30_000 });
    expect(allZeroed(world)).toBe(true);
  });

  test('ends when its user said that it does, without any policy, and whatever its status says', async () => {
    const world = worldWithKey();
    const nowMs = world.now().getTime();
    const askBefore = async (ms: number, onExpired?: 'Warn') => {
      if (onExpired) world.sources.userKeyPolicies.put(policyOf('age', { expiry: { onExpired } }));
      const ends = [{ name: 'authorization', declaredAtMs: nowMs + ms }];
      world.keyStore.set(alice, { Authorization: key }, { version: nowMs - 5, ends });
      world.sources.userKeys.put(userKeyOf(alice, github, { version: nowMs - 5, state: 'Configured' }));
      return readAnswer(await ask(world)) as { decision: string; ttlMs: number };
    };
    expect(await askBefore(60_000)).toMatchObject({ decision: 'granted', ttlMs: 30_000 });
    expect(await askBefore(20_000)).toMatchObject({ decision: 'granted', ttlMs: 20_000 });
    expect(await askBefore(0)).toMatchObject({ decision: 'expired' });
    expect(await askBefore(0, 'Warn')).toMatchObject({ decision: 'granted', ttlMs: 30_000 });
    expect(allZeroed(world)).toBe(true);
  });

  test(verifies('key-use:last'), async () => {
    const world = worldWithKey();
    const version = world.now().getTime() - 60_000;
    const put = (status: UserKeyStatus = {}) => {
      world.keyStore.set(alice, { Authorization: key }, { version });
      world.sources.userKeys.put(userKeyOf(alice, github, { version, ...status }));
    };
    const { leases } = servicesOf(world);
    const usedAt = () => world.sources.userKeys.store.get('team-a', userKeyOf(alice).metadata.name)?.status?.usedAt;
    const lease = () => leases.lease({ server: github, credential: 'token-of-alice' }, podToken);
    put({ rejected: { version, at: '2026-11-24T10:00:00Z' } });
    expect(readAnswer(await lease())).toMatchObject({ decision: 'invalid' });
    expect(usedAt()).toBeUndefined();
    put();
    world.audit.isDown = true;
    await lease();
    expect(usedAt()).toBeUndefined();
    world.audit.isDown = false;
    expect(readAnswer(await lease())).toMatchObject({ decision: 'granted' });
    expect(usedAt()).toBe(world.now().toISOString());
  });

  test('is opened at the address of this very server and not below the version on record', async () => {
    const world = worldWithKey();
    world.keyStore.set(alice, { Authorization: key }, { version: 5 });
    world.sources.userKeys.put(userKeyOf(alice, github, { version: 5 }));
    await ask(world);
    expect(world.keyStore.calls).toEqual(['open uid-of-github default >=5']);
  });

  test('waits until its event is on disk', async () => {
    const world = worldWithKey();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.audit.gate = promise;
    let answered = false;
    const answer = ask(world).finally(() => (answered = true));
    await new Promise((done) => setTimeout(done, 20));
    expect(answered).toBe(false);
    resolve();
    expect(readAnswer(await answer)).toMatchObject({ decision: 'granted' });
  });

  test('is refused when its event cannot be put on disk', async () => {
    const world = worldWithKey();
    world.audit.isDown = true;
    const answer = await ask(world);
    expect(answer.kind).toBe('keyless');
    expect(readAnswer(answer)).toMatchObject({ decision: 'denied', reason: 'AuditUnavailable' });
    expect(JSON.stringify(answer)).not.toContain(key);
    expect(allZeroed(world)).toBe(true);
  });

  test('ends with the credential that it rests on', async () => {
    const world = worldWithKey();
    const expiresAtMs = world.now().getTime() + 7_000;
    world.userTokens.set('token-of-alice', { kind: 'identified', subject: alice, groups: [], expiresAtMs });
    expect(readAnswer(await ask(world))).toMatchObject({ ttlMs: 7_000 });
  });

  test('has no headers at a server that needs none, and is on record all the same', async () => {
    const world = brokerWorld();
    const server = mcpServer();
    const authentication = { mode: 'PerUser', headers: [] } as const;
    world.sources.mcpServers.put({ ...server, spec: { ...server.spec, authentication } });
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'granted', headers: [], keyVersion: 0 });
    expect(world.audit.events).toMatchObject([{ type: 'lease', headerNames: [] }]);
  });
});

describe('without a key', () => {
  test('the user is told which header is missing and what to do', async () => {
    const world = brokerWorld();
    expect(readAnswer(await ask(world))).toEqual({
      decision: 'missing',
      subject: alice,
      subjectKey: subjectKeyOf(alice),
      hints: [{ name: 'Authorization', title: 'GitHub token', helpURL: 'https://github.com/settings/tokens' }],
      message: expect.stringContaining('kubectl mcpkeys set github -n team-a') as string,
      ttlMs: brokerLimits.refusalTtlMs,
    });
    expect(world.keyStore.calls).toEqual([]);
  });

  test('the key of another user is of no use', async () => {
    const world = worldWithKey();
    expect(readAnswer(await ask(world, 'token-of-bob'))).toMatchObject({ decision: 'missing', subject: bob });
  });

  test('a header that only a policy requires is missing too', async () => {
    const world = worldWithKey();
    world.sources.userKeyPolicies.put(policyOf('strict', { keys: { required: ['x-client-id'] } }));
    const answer = await ask(world);
    expect(readAnswer(answer)).toMatchObject({ decision: 'missing', hints: [{ name: 'X-Client-ID' }] });
    expect(allZeroed(world)).toBe(true);
  });

  test('a sealed key that outlived its UserKey stays shut', async () => {
    const world = worldWithKey();
    world.sources.userKeys.remove(userKeyOf(alice));
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'missing' });
    expect(world.keyStore.calls).toEqual([]);
  });

  test.each([
    ['was refused by its upstream', { rejected: { version: 1, at: '2026-11-24T09:00:00Z' } }, 'invalid'],
    ['waits for approval', {}, 'pendingApproval'],
    ['was revoked', { revoked: { version: 1, at: '2026-11-24T09:00:00Z', by: 'root' } }, 'invalid'],
  ] as const)('one that %s stays shut', async (_, status, decision) => {
    const world = worldWithKey();
    if (decision === 'pendingApproval')
      world.sources.userKeyPolicies.put(policyOf('asks', { approval: { required: true } }));
    world.sources.userKeys.put(userKeyOf(alice, github, { version: 1, ...status }));
    expect(readAnswer(await ask(world))).toMatchObject({ decision });
    expect(world.keyStore.calls).toEqual([]);
  });

  test('a lease ends with the approval that it rests on', async () => {
    const world = worldWithKey();
    world.sources.userKeyPolicies.put(policyOf('asks', { approval: { required: true } }));
    const approval = {
      state: 'Granted',
      at: '2026-11-24T09:00:00Z',
      by: 'eve',
      until: '2026-11-24T10:00:12Z',
    } as const;
    world.sources.userKeys.put(userKeyOf(alice, github, { version: 1, approval }));
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'granted', ttlMs: 12_000 });
  });
});

describe('a key that cannot be used', () => {
  test.each(['Unreadable', 'RolledBack', 'ContextMismatch', 'KekMissing'] as const)(
    'is denied without a word about why: %s',
    async (code) => {
      const world = worldWithKey();
      world.keyStore.failure = new KeyStoreError(code);
      expect(readAnswer(await ask(world))).toEqual({
        decision: 'denied',
        reason: 'KeyUnreadable',
        message: expect.stringMatching(/^Here you are alice .*kubectl mcpkeys set github -n team-a/u) as string,
        subject: alice,
      });
      expect(world.audit.events).toMatchObject([{ type: 'denied', reason: 'KeyUnreadable', subject: alice }]);
    },
  );

  test('is denied when it is older than the version on record', async () => {
    const world = worldWithKey();
    world.sources.userKeys.put(userKeyOf(alice, github, { version: 2 }));
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'denied', reason: 'KeyUnreadable' });
  });

  test.each(['key\r\nX-Admin: true', 'key\0', '', 'kéy'])(
    'is denied when it would not be one header: %o',
    async (bad) => {
      const world = worldWithKey();
      world.keyStore.set(alice, { Authorization: Buffer.from(bad) });
      expect(readAnswer(await ask(world))).toMatchObject({ decision: 'denied', reason: 'KeyUnreadable' });
      expect(allZeroed(world)).toBe(true);
    },
  );

  test('is no decision at all while the API server cannot be asked', async () => {
    const world = worldWithKey();
    world.keyStore.failure = new KubeError('Unavailable', 'get secrets: 503');
    await expect(ask(world)).rejects.toMatchObject({ code: 'ERR_STORE_UNAVAILABLE' });
  });

  test('is denied when the UserKey under its name is of somebody else', async () => {
    const world = worldWithKey();
    const userKey = userKeyOf(alice);
    world.sources.userKeys.put({ ...userKey, spec: { ...userKey.spec, subject: bob } });
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'denied', reason: 'KeyUnreadable' });
    expect(world.keyStore.calls).toEqual([]);
  });
});

describe('a pod that may not', () => {
  const jira = { namespace: 'team-a', name: 'jira' };

  interface Attempt {
    readonly change?: (world: BrokerWorld) => void;
    readonly pod?: string;
    readonly code: string;
    readonly reason: string;
  }
  const forbidden = 'ERR_POD_FORBIDDEN';

  test.each<[string, Attempt]>([
    ['has no token', { pod: '', code: 'ERR_POD_UNAUTHENTICATED', reason: 'TokenMissing' }],
    ['has a token of nobody', { pod: 'stolen', code: 'ERR_POD_UNAUTHENTICATED', reason: 'NotAuthenticated' }],
    [
      'is of another server, with the token of alice',
      {
        change: (world) => world.sources.pods.put(podOf(jira, 'jira-0')),
        pod: 'pod:team-a/jira-0',
        code: forbidden,
        reason: 'PodServesAnotherServer',
      },
    ],
    [
      'is terminating',
      {
        change: (world) =>
          world.sources.pods.put(podOf(github, 'github-0', { deletionTimestamp: '2026-11-24T09:59:59Z' })),
        code: forbidden,
        reason: 'PodTerminating',
      },
    ],
    [
      'is gone',
      {
        change: (world) => world.sources.pods.remove(podOf(github, 'github-0')),
        code: forbidden,
        reason: 'PodUnknown',
      },
    ],
    [
      'is of another namespace',
      {
        change: (world) => world.sources.pods.put(podOf({ ...github, namespace: 'team-b' }, 'github-9')),
        pod: 'pod:team-b/github-9',
        code: forbidden,
        reason: 'NamespaceMismatch',
      },
    ],
    [
      'does not carry the sidecar',
      {
        change: (world) =>
          world.sources.pods.put(podOf(github, 'github-0', { labels: { 'mcpkeyring.io/server': 'github' } })),
        code: forbidden,
        reason: 'PodNotInjected',
      },
    ],
  ])('%s: nobody is identified, nothing is opened, and it is on record', async (_, attempt) => {
    const world = worldWithKey();
    attempt.change?.(world);
    const asked = ask(world, 'token-of-alice', attempt.pod === undefined ? {} : { pod: attempt.pod });
    await expect(asked).rejects.toMatchObject({ code: attempt.code });
    expect(world.identified).toEqual([]);
    expect(world.keyStore.calls).toEqual([]);
    expect(world.audit.events).toMatchObject([
      { type: 'denied', action: 'lease', reason: attempt.reason, server: github },
    ]);
  });
});

describe('a place that is not served', () => {
  test.each([
    ['of no organization', undefined],
    ['of two organizations', { kind: 'conflict', organizations: ['a', 'b'] } as const],
  ])('a namespace %s is denied before anybody is identified', async (_, tenancy) => {
    const world = worldWithKey();
    if (tenancy === undefined) world.tenancies.delete('team-a');
    else world.tenancies.set('team-a', tenancy);
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'denied', reason: 'NamespaceHasNoOrganization' });
    expect(world.identified).toEqual([]);
  });

  test('a server that is gone is denied before anybody is identified', async () => {
    const world = worldWithKey();
    world.sources.mcpServers.remove(mcpServer());
    expect(readAnswer(await ask(world))).toMatchObject({ decision: 'denied', reason: 'ServerNotFound' });
    expect(world.identified).toEqual([]);
    expect(world.keyStore.calls).toEqual([]);
  });
});

describe('a user who is not proven', () => {
  test.each([
    ['expired-token', 'TokenExpired'],
    ['forged-token', 'SignatureInvalid'],
    ['token-of-an-issuer-that-is-down', 'IssuerUnavailable'],
  ])('gets nothing for %s, and it is on record', async (credential, reason) => {
    const world = worldWithKey();
    const answer = await ask(world, credential);
    expect(answer.kind).toBe('keyless');
    expect(Object.keys(readAnswer(answer) as object).toSorted()).toEqual(['decision', 'message', 'reason']);
    expect(readAnswer(answer)).toMatchObject({ decision: 'unauthenticated', reason });
    expect(world.keyStore.calls).toEqual([]);
    expect(world.audit.events).toMatchObject([{ type: 'denied', reason }]);
    expect(JSON.stringify(world.audit.events)).not.toContain(credential);
  });
});

describe('a stolen pod token', () => {
  test('cannot enumerate users: too many different ones in a minute are refused, known ones go on', async () => {
    const world = worldWithKey();
    const { leases } = servicesOf(world);
    const lease = (credential: string) => leases.lease({ server: github, credential }, podToken);
    await lease('token-of-alice');
    for (let i = 0; i < brokerLimits.newSubjectsPerPodMax; i += 1) {
      const subject = { ...bob, id: `user-${i}` };
      world.userTokens.set(`token-${i}`, { kind: 'identified', subject, groups: [] });
    }
    for (let i = 0; i < brokerLimits.newSubjectsPerPodMax - 1; i += 1) await lease(`token-${i}`);
    const last = `token-${brokerLimits.newSubjectsPerPodMax - 1}`;
    await expect(lease(last)).rejects.toMatchObject({ code: 'ERR_TOO_MANY_SUBJECTS' });
    expect(world.audit.events.at(-1)).toMatchObject({ type: 'denied', reason: 'ERR_TOO_MANY_SUBJECTS' });
    expect(readAnswer(await lease('token-of-alice'))).toMatchObject({ decision: 'granted' });
    world.clock.nowMs += brokerLimits.windowMs;
    expect(readAnswer(await lease(last))).toMatchObject({ decision: 'missing' });
  });

  test('cannot make us flood the API server: too many bad tokens in a minute are refused, users who were good go on', async () => {
    const world = worldWithKey();
    const { leases } = servicesOf(world);
    const lease = (credential: string) => leases.lease({ server: github, credential }, podToken);
    world.userTokens.set('review:alice', { kind: 'identified', subject: alice, groups: [] });
    await lease('review:alice');
    for (let i = 0; i < brokerLimits.failedReviewsPerPodMax; i += 1) await lease(`review:guess-${i}`);
    const identified = world.identified.length;
    await expect(lease('review:one-guess-more')).rejects.toMatchObject({ code: 'ERR_TOO_MANY_FAILURES' });
    expect(world.identified).toHaveLength(identified);
    expect(readAnswer(await lease('review:alice'))).toMatchObject({ decision: 'granted' });
    expect(readAnswer(await lease('token-of-alice'))).toMatchObject({ decision: 'granted' });
  });

  test('cannot fill the disk with refusals', async () => {
    const world = worldWithKey();
    const services = servicesOf(world);
    for (let i = 0; i < 200; i += 1)
      await services.leases.lease({ server: github, credential: 'expired-token' }, podToken);
    expect(world.audit.events).toHaveLength(brokerLimits.denialsRecordedPerSourceMax);
    expect(services.unrecorded()).toBe(200 - brokerLimits.denialsRecordedPerSourceMax);
  });

  test('cannot keep the refusal of a known user off the record', async () => {
    const world = worldWithKey();
    const { leases } = servicesOf(world);
    for (let i = 0; i < 200; i += 1) await leases.lease({ server: github, credential: 'expired-token' }, podToken);
    world.keyStore.failure = new KeyStoreError('Unreadable');
    await leases.lease({ server: github, credential: 'token-of-alice' }, podToken);
    expect(world.audit.events.at(-1)).toMatchObject({ type: 'denied', reason: 'KeyUnreadable', subject: alice });
  });

  test('is not blamed for an issuer that is down', async () => {
    const world = worldWithKey();
    const { leases } = servicesOf(world);
    const failing = (i: number): string => `review:down-${i}`;
    for (let i = 0; i < brokerLimits.failedReviewsPerPodMax + 10; i += 1) {
      world.userTokens.set(failing(i), unauthenticated('IssuerUnavailable'));
      await leases.lease({ server: github, credential: failing(i) }, podToken);
    }
    world.userTokens.set('review:bob', { kind: 'identified', subject: bob, groups: [] });
    expect(readAnswer(await leases.lease({ server: github, credential: 'review:bob' }, podToken))).toMatchObject({
      decision: 'missing',
    });
  });
});
