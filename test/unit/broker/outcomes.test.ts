import { createSecretKey } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { KeyOutcome } from '#contract/outcome.ts';
import { brokerLimits } from '#operator/broker/limits.ts';
import { Receipts } from '#operator/broker/receipts.ts';
import { OutcomeIntake } from '#operator/broker/outcomes.ts';
import type { ServerRef, Subject } from '#contract/lease.ts';
import { EndRecorder } from '#operator/key-state/end-recorder.ts';
import { KubeError } from '#operator/kube/errors.ts';
import {
  alice,
  bob,
  brokerWorld,
  github,
  podOf,
  policyOf,
  subjectKeyOf,
  userKeyOf,
  type BrokerWorld,
} from '#test/support/broker-world.ts';
import { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import { verifies } from '#test/requirements.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const podToken = 'pod:team-a/github-0';
const carol: Subject = { ...alice, id: 'carol-id', name: 'carol' };

function setUp(change: { client?: BrokerWorld['client'] } = {}) {
  const world = brokerWorld();
  const results: string[] = [];
  const services = servicesOf(world);
  const ends = new EndRecorder({ ...world.options, ...change });
  const intake = new OutcomeIntake({
    ...world.options,
    ...change,
    ends,
    userKeys: world.sources.userKeys.store,
    mcpServers: world.sources.mcpServers.store,
    sharedKeys: new SharedKeys(world.referencedSecrets),
    podGate: services.podGate,
    receipts: services.receipts,
    observer: { keyRejection: (result) => results.push(result) },
  });
  for (const user of [alice, bob, carol]) {
    world.keyStore.set(user, { Authorization: `key of ${user.name}` });
    world.sources.userKeys.put(userKeyOf(user));
  }
  const receiptOf = (user: Subject, keyVersion = 1, more: { podUid?: string; server?: ServerRef } = {}): string =>
    services.receipts.issue({
      server: github,
      subjectKey: subjectKeyOf(user),
      keyVersion,
      podUid: 'uid-of-github-0',
      ...more,
    });
  const tell = (user: Subject, told: Omit<KeyOutcome, 'subjectKey' | 'receipt'>, receipt: string | undefined) => {
    const outcome = { ...told, subjectKey: subjectKeyOf(user), ...(receipt === undefined ? {} : { receipt }) };
    return intake.take({ server: github, outcomes: [outcome] }, podToken);
  };
  const report = (user: Subject, outcome: KeyOutcome['outcome'], keyVersion = 1) =>
    tell(user, { outcome, keyVersion }, receiptOf(user, keyVersion));
  const later = async (ms: number): Promise<void> => {
    world.clock.nowMs += ms;
    await intake.settle();
  };
  const tellEnd = (user: Subject, endsAt: string, receipt: string) => {
    const end = { subjectKey: subjectKeyOf(user), keyVersion: 1, endsAt, receipt };
    return intake.take({ server: github, outcomes: [], ends: [end] }, podToken);
  };
  const detectedOf = (user: Subject) =>
    world.sources.userKeys.store.get('team-a', `github-${subjectKeyOf(user)}`)?.status?.detected;
  const rejectedOf = (user: Subject) =>
    world.sources.userKeys.store.get('team-a', `github-${subjectKeyOf(user)}`)?.status?.rejected?.version;
  return { ...world, ...services, intake, report, tell, tellEnd, receiptOf, later, rejectedOf, detectedOf, results };
}

describe('a key that the upstream refuses', () => {
  test('is marked once nobody else was refused for a while, and is not handed out any more', async () => {
    const { report, later, rejectedOf, leases, audit, results } = setUp();
    await report(alice, 'rejected');
    await later(brokerLimits.rejectionPatienceMs - 1);
    expect(rejectedOf(alice)).toBeUndefined();
    await later(1);
    expect(rejectedOf(alice)).toBe(1);
    expect(rejectedOf(bob)).toBeUndefined();
    expect(audit.events).toMatchObject([{ type: 'key.rejected', subject: alice, keyVersion: 1, server: github }]);
    const ask = (credential: string) => leases.lease({ server: github, credential }, podToken);
    expect(readAnswer(await ask('token-of-alice'))).toMatchObject({ decision: 'invalid' });
    expect(readAnswer(await ask('token-of-bob'))).toMatchObject({ decision: 'granted' });
    expect(results).toEqual(['marked']);
  });

  test('is marked at once when its user is refused before and after another is served', async () => {
    const { report, later, rejectedOf } = setUp();
    await report(alice, 'rejected');
    await later(10);
    await report(bob, 'accepted');
    await later(10);
    expect(rejectedOf(alice)).toBeUndefined();
    await report(alice, 'rejected');
    await later(0);
    expect(rejectedOf(alice)).toBe(1);
  });

  test('is handed out again in the version that its user sets next', async () => {
    const { report, later, leases, sources, keyStore } = setUp();
    await report(alice, 'rejected');
    await later(brokerLimits.rejectionPatienceMs);
    keyStore.set(alice, { Authorization: 'new key' }, { version: 2 });
    const rejected = { version: 1, at: '2026-11-24T10:00:00Z' };
    // The state is still that of the version before.
    sources.userKeys.put(userKeyOf(alice, github, { version: 2, state: 'Invalid', rejected }));
    const lease = readAnswer(await leases.lease({ server: github, credential: 'token-of-alice' }, podToken));
    expect(lease).toMatchObject({ decision: 'granted', keyVersion: 2 });
  });

  test('is not marked when it was accepted afterwards', async () => {
    const { report, later, rejectedOf } = setUp();
    await report(alice, 'rejected');
    await later(10);
    await report(alice, 'accepted');
    await later(brokerLimits.rejectionPatienceMs);
    expect(rejectedOf(alice)).toBeUndefined();
  });

  test('is marked in no other version than the one that was refused', async () => {
    const { report, later, rejectedOf, sources, results } = setUp();
    await report(alice, 'rejected', 1);
    sources.userKeys.put(userKeyOf(alice, github, { version: 2 }));
    await later(brokerLimits.rejectionPatienceMs);
    expect(rejectedOf(alice)).toBeUndefined();
    expect(results).toEqual(['stale']);
  });

  test('is not marked when there is no such key', async () => {
    const { report, later, results, audit } = setUp();
    await report({ ...alice, id: 'nobody' }, 'rejected');
    await later(brokerLimits.rejectionPatienceMs);
    expect(results).toEqual(['stale']);
    expect(audit.events).toEqual([]);
  });

  test('is marked later when the API server or the audit log cannot be reached, and is on record once', async () => {
    let isDown = true;
    const up = brokerWorld();
    const client: BrokerWorld['client'] = {
      apply: (...call) => (isDown ? Promise.reject(new KubeError('Unavailable', 'down')) : up.client.apply(...call)),
    };
    up.sources.userKeys.put(userKeyOf(alice));
    const { report, later, results, audit } = setUp({ client });
    await report(alice, 'rejected');
    audit.isDown = true;
    await later(brokerLimits.rejectionPatienceMs);
    audit.isDown = false;
    await later(1_000);
    isDown = false;
    await later(1_000);
    expect(results).toEqual(['failed', 'failed', 'marked']);
    expect(audit.events).toHaveLength(1);
  });
});

describe('an upstream that refuses everybody', () => {
  test('costs nobody their key, and is told apart', async () => {
    const { report, later, rejectedOf, results } = setUp();
    for (const user of [alice, bob, carol]) {
      await report(user, 'rejected');
      await later(1_000);
    }
    for (let minute = 0; minute < 12; minute += 1) await later(60_000);
    for (const user of [alice, bob, carol]) expect(rejectedOf(user)).toBeUndefined();
    expect(new Set(results)).toEqual(new Set(['upstreamSuspected']));
  });

  test('costs nobody their key when it has recovered and some users have not come back yet', async () => {
    const { report, later, rejectedOf } = setUp();
    await report(alice, 'rejected');
    await report(bob, 'rejected');
    await later(1_000);
    await report(bob, 'accepted');
    await later(brokerLimits.rejectionPatienceMs * 3);
    expect(rejectedOf(alice)).toBeUndefined();
    await report(alice, 'accepted');
    await later(brokerLimits.rejectionPatienceMs * 3);
    expect(rejectedOf(alice)).toBeUndefined();
  });

  test('hides no key that is still refused when others are served again', async () => {
    const { report, later, rejectedOf } = setUp();
    await report(alice, 'rejected');
    await report(bob, 'rejected');
    await later(1_000);
    await report(bob, 'accepted');
    await later(1_000);
    await report(alice, 'rejected');
    await later(0);
    expect(rejectedOf(alice)).toBe(1);
    expect(rejectedOf(bob)).toBeUndefined();
  });

  test('costs at most the first user their key when the others come one by one', async () => {
    const { report, later, rejectedOf } = setUp();
    for (const user of [alice, bob, carol]) {
      await report(user, 'rejected');
      await later(brokerLimits.rejectionPatienceMs * 2);
    }
    await later(60_000);
    expect([alice, bob, carol].map(rejectedOf)).toEqual([1, undefined, undefined]);
  });
});

describe('a report of outcomes', () => {
  test('is refused from a pod of another server', async () => {
    const { intake, sources, audit } = setUp();
    sources.pods.put(podOf({ namespace: 'team-a', name: 'jira' }, 'jira-0'));
    await expect(intake.take({ server: github, outcomes: [] }, 'pod:team-a/jira-0')).rejects.toMatchObject({
      code: 'ERR_POD_FORBIDDEN',
    });
    expect(audit.events).toMatchObject([{ type: 'denied', action: 'outcomes' }]);
  });

  test('about many made-up users takes bounded room and marks none of them', async () => {
    const { intake, later, results } = setUp();
    for (let at = 0; at < 5; at += 1) {
      const outcomes = Array.from({ length: 500 }, (_, index) => ({
        subjectKey: `made${at}up${index}`,
        keyVersion: 1,
        outcome: 'rejected' as const,
      }));
      await intake.take({ server: github, outcomes }, podToken);
    }
    await later(brokerLimits.rejectionPatienceMs);
    expect(results.length).toBeLessThanOrEqual(brokerLimits.rejectionUsersMax);
    expect(results).not.toContain('marked');
  });
});

describe('the end that an upstream tells of a key', () => {
  const soon = '2026-11-24T10:00:20.000Z';

  test(verifies('expiry:detected-upstream'), async () => {
    const { leases, tellEnd, receiptOf, detectedOf, sources, now } = setUp();
    sources.userKeyPolicies.put(policyOf('age', { expiry: { onExpired: 'Warn' } }));
    const wiki = { namespace: 'team-a', name: 'wiki' };
    const forged = [
      '',
      'made-up',
      receiptOf(bob),
      receiptOf(alice, 2),
      receiptOf(alice, 1, { podUid: 'uid-of-another-pod' }),
      receiptOf(alice, 1, { server: wiki }),
    ];
    for (const receipt of forged) expect(await tellEnd(alice, soon, receipt)).toBe(0);
    for (const insane of [now().toISOString(), '1970-01-01T00:00:00.000Z']) {
      expect(await tellEnd(alice, insane, receiptOf(alice))).toBe(1);
    }
    expect(detectedOf(alice)).toBeUndefined();

    expect(await tellEnd(alice, soon, receiptOf(alice))).toBe(1);
    expect(detectedOf(alice)).toEqual({ version: 1, expiresAt: soon, at: now().toISOString() });
    expect(detectedOf(bob)).toBeUndefined();
    const ask = (credential: string) => leases.lease({ server: github, credential }, podToken);
    expect(readAnswer(await ask('token-of-alice'))).toMatchObject({ decision: 'granted', ttlMs: 20_000 });
    // The upstream would refuse it, so a policy that only warns lets nobody send it.
    sources.userKeys.put(
      userKeyOf(alice, github, { version: 1, detected: { version: 1, expiresAt: now().toISOString(), at: soon } }),
    );
    expect(readAnswer(await ask('token-of-alice'))).toMatchObject({ decision: 'expired' });
    expect(readAnswer(await ask('token-of-bob'))).toMatchObject({ decision: 'granted' });
  });

  test('is written once, by whichever replica hears of it', async () => {
    const up = brokerWorld();
    const written: unknown[] = [];
    const client: BrokerWorld['client'] = {
      apply: (...call) => {
        written.push(call[1]);
        return up.client.apply(...call);
      },
    };
    up.sources.userKeys.put(userKeyOf(alice));
    const { tellEnd, receiptOf } = setUp({ client });
    for (let told = 0; told < 5; told += 1) await tellEnd(alice, soon, receiptOf(alice));
    expect(written).toMatchObject([{ status: { detected: { expiresAt: soon } } }]);
  });
});

describe('what is told of a key', () => {
  test(verifies('key-release:outcome-receipts'), async () => {
    const { leases, tell, receiptOf, later, rejectedOf, results } = setUp();
    const wiki = { namespace: 'team-a', name: 'wiki' };
    const told = { outcome: 'rejected', keyVersion: 1 } as const;
    const forged = [
      undefined,
      '',
      'made-up',
      receiptOf(bob),
      receiptOf(alice, 2),
      receiptOf(alice, 1, { podUid: 'uid-of-another-pod' }),
      receiptOf(alice, 1, { server: wiki }),
      receiptOf(alice).replace(/^\d/, (digit) => String((Number(digit) + 1) % 10)),
    ];
    for (const receipt of forged) expect(await tell(alice, told, receipt)).toBe(0);
    await later(brokerLimits.rejectionPatienceMs);
    expect(rejectedOf(alice)).toBeUndefined();
    expect(results).toEqual(forged.map(() => 'unproven'));

    const answer = await leases.lease({ server: github, credential: 'token-of-alice' }, podToken);
    const { receipt } = readAnswer(answer) as { receipt: string };
    expect(await tell(alice, told, receipt)).toBe(1);
    await later(brokerLimits.rejectionPatienceMs);
    expect(rejectedOf(alice)).toBe(1);
  });

  test('is believed for as long as its receipt lasts, by every replica', () => {
    const key = createSecretKey(Buffer.alloc(32, 7));
    let nowMs = Date.parse('2026-11-24T10:00:00Z');
    const now = (): Date => new Date(nowMs);
    const lease = { server: github, subjectKey: subjectKeyOf(alice), keyVersion: 1, podUid: 'uid-of-github-0' };
    const told = { subjectKey: lease.subjectKey, keyVersion: 1, outcome: 'rejected' as const };
    const receipt = new Receipts({ key, now }).issue(lease);
    const other = new Receipts({ key, now });
    expect(other.covers(lease, { ...told, receipt })).toBe(true);
    nowMs += brokerLimits.receiptTtlMs;
    expect(other.covers(lease, { ...told, receipt })).toBe(false);
    const stranger = new Receipts({ key: createSecretKey(Buffer.alloc(32, 8)), now });
    expect(stranger.covers(lease, { ...told, receipt: new Receipts({ key, now }).issue(lease) })).toBe(false);
  });
});
