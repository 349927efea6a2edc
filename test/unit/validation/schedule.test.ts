import { describe, expect, test } from 'vitest';

import type { UserKeyPolicyValidation } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey, UserKeyVerification } from '#crds/v1alpha1/generated/user-key.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { silentLog } from '#operator/kube/observers.ts';
import { ProbeBudget } from '#operator/validation/budget.ts';
import { dueAtMs, freshMs } from '#operator/validation/due.ts';
import type { KeyToTry } from '#operator/validation/prober.ts';
import { lookMs, startProbeSchedule } from '#operator/validation/schedule.ts';
import { KeyTrials } from '#operator/validation/trials.ts';
import type { ProbeFinding } from '#operator/validation/verdict.ts';
import { verifies } from '#test/requirements.ts';
import { ManualClock } from '#test/support/manual-clock.ts';
import { memorySource } from '#test/support/memory-source.ts';
import { header, policy, server, subject } from '#test/unit/controllers/fixtures.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const setAtMs = Date.parse('2026-11-01T00:00:00.000Z');
const accepted = { verdict: 'Accepted', reason: 'Accepted' } as const;
const rejected = { verdict: 'Rejected', reason: 'KeyRefused' } as const;

function userKeyNamed(name: string, status: UserKey['status'] = {}): UserKey {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKey',
    metadata: { namespace: 'team-a', name, uid: `uid-${name}` },
    spec: { serverRef: { name: 'github' }, subject: { ...subject, id: name } },
    status: { version: setAtMs, ...status },
  };
}

/** A leader with stored keys; `answer` is what the upstream says. */
function leader(validation: UserKeyPolicyValidation, names: readonly string[], answer: (name: string) => ProbeFinding) {
  const clock = new ManualClock();
  const startMs = setAtMs + freshMs;
  const beganMs = clock.nowMs();
  const now = (): Date => new Date(startMs + clock.nowMs() - beganMs);
  const userKeys = memorySource<UserKey>(names.map((name) => userKeyNamed(name)));
  const probe = { tool: { name: 'get_me' } };
  const probed: { name: string; atMs: number }[] = [];
  const budget = new ProbeBudget({ nowMs: () => now().getTime() });
  const sources = {
    mcpServers: memorySource([server({ headers: [header('Authorization')] })]).store,
    userKeyPolicies: memorySource([policy({ validation: { probe, ...validation } })]).store,
    userKeys: userKeys.store,
  };
  const prober = {
    upstreamsOf: () => ['github'],
    try: ({ address, probes }: KeyToTry) => {
      const [first] = probes;
      probed.push({ name: address.subject.id, atMs: now().getTime() });
      using _place = budget.enter(
        { organization: 'default', upstreams: ['default github'] },
        { runningMax: 99, startsMax: 999, windowMs: 1, runningTotalMax: 99, runningOrganizationMax: 99 },
      );
      return Promise.resolve(first && { finding: answer(address.subject.id), probe: first });
    },
  };
  const client = {
    apply: (_type: unknown, object: { metadata: { name: string }; status?: object }) => {
      const known = userKeys.store.get('team-a', object.metadata.name);
      if (known !== undefined) userKeys.put({ ...known, status: { ...known.status, ...object.status } });
      return Promise.resolve(object);
    },
  };
  const audited: unknown[] = [];
  const audit = { append: (event: unknown) => Promise.resolve(void audited.push(event)) };
  const trials = new KeyTrials({
    ends: { told: () => {} },
    prober,
    client: client as never,
    audit,
    suspicion: { judge: (_server, _user, finding) => finding },
    now,
    random: () => 0.5,
  });
  const schedule = startProbeSchedule({
    sources,
    tenancy: { organizationOf: () => ({ kind: 'organization', name: 'acme', issuers: [] }) },
    keyStore: {
      userKeyNameOf: ({ subject: { id } }) => id,
      open: (_address, version) =>
        Promise.resolve({
          version,
          headers: [{ name: 'Authorization', value: SecretBytes.takeFrom(Buffer.from('k')) }],
          [Symbol.dispose]: () => undefined,
        }),
    },
    prober,
    trials,
    budget,
    clock,
    now,
    log: silentLog,
  });
  const verificationOf = (name: string): UserKeyVerification | undefined =>
    userKeys.store.get('team-a', name)?.status?.verification;
  return { clock, schedule, probed, audited, verificationOf, userKeys };
}

describe('stored keys', () => {
  test(
    verifies('validation:schedule'),
    async () => {
      const names = Array.from({ length: 30 }, (_, index) => `k${index}`);
      const world = leader({ schedule: '1h' }, names, () => accepted);
      await world.clock.advance(5 * hourMs);
      await world.schedule.stop();
      for (const name of names) {
        const times = world.probed.filter((one) => one.name === name).map(({ atMs }) => atMs);
        expect(times.length, name).toBeGreaterThanOrEqual(4);
        for (const [index, atMs] of times.entries()) {
          const sinceMs = atMs - (times[index - 1] ?? atMs - hourMs);
          expect(sinceMs).toBeGreaterThanOrEqual(hourMs);
          expect(sinceMs).toBeLessThanOrEqual(hourMs * 1.1 + 2 * 60_000);
        }
      }
      expect(world.audited).toHaveLength(world.probed.length);
      expect(world.verificationOf('k0')).toMatchObject({ version: setAtMs, verdict: 'Accepted', failures: 0 });
    },
    60_000,
  );

  test('that fail are tried again soon, until the failures are as many as the policy asks for, and then on schedule', async () => {
    const world = leader({ schedule: '24h', invalidAfterFailures: 3 }, ['k'], () => rejected);
    await world.clock.advance(hourMs);
    expect(world.verificationOf('k')).toMatchObject({ verdict: 'Rejected', failures: 3 });
    expect(world.probed).toHaveLength(3);
    await world.clock.advance(10 * hourMs);
    expect(world.probed).toHaveLength(3);
    await world.schedule.stop();
  });

  test('without a verdict keep what is known, and are tried again ever more seldom', async () => {
    let finding: ProbeFinding = accepted;
    const world = leader({ schedule: '6h' }, ['k'], () => finding);
    await world.clock.advance(lookMs);
    finding = { reason: 'UpstreamError' };
    await world.clock.advance(12 * hourMs);
    expect(world.verificationOf('k')).toMatchObject({
      verdict: 'Accepted',
      failures: 0,
      message: 'github has a problem of its own (5xx).',
    });
    expect(world.probed.length).toBeGreaterThan(6);
    expect(world.probed.length).toBeLessThan(16);
    await world.schedule.stop();
  }, 60_000);

  test('are left alone without a schedule, and without a probe', async () => {
    const world = leader({}, ['k'], () => accepted);
    await world.clock.advance(hourMs);
    expect(world.probed).toEqual([]);
    await world.schedule.stop();
  });
});

describe('when a key is due', () => {
  const version = setAtMs;
  const due = (status: UserKey['status'], intervalMs: number | undefined = dayMs, nowMs = setAtMs + 90 * dayMs) =>
    dueAtMs(userKeyNamed('k', status), { version, nowMs, rules: intervalMs === 0 ? {} : { intervalMs } });
  const verified = { version, verdict: 'Accepted', failures: 0, at: new Date(setAtMs).toISOString() } as const;

  test('it is not while it is refused, gone or waits for somebody', () => {
    expect(due({ version, rejected: { version, at: '' } })).toBeUndefined();
    for (const state of ['Missing', 'Revoked', 'PendingApproval'] as const)
      expect(due({ version, state })).toBeUndefined();
    const going = { ...userKeyNamed('k'), metadata: { name: 'k', deletionTimestamp: 'now' } };
    expect(dueAtMs(going, { version, nowMs: 0, rules: { intervalMs: dayMs } })).toBeUndefined();
  });

  test('a key that was never tried has its turn by age, whoever set it having had a minute for it', () => {
    expect(due({ version })).toBe(version + freshMs);
    expect(due({ version, verification: { ...verified, version: version - 1 } })).toBe(version + freshMs);
    expect(due({ version }, 0)).toBeUndefined();
  });

  test('a schedule that became shorter holds at once, and one that is gone lets only retries be', () => {
    const nextAt = new Date(setAtMs + 365 * dayMs).toISOString();
    expect(due({ version, verification: { ...verified, nextAt } })).toBe(setAtMs + dayMs * 1.1);
    expect(due({ version, verification: verified })).toBe(setAtMs + dayMs * 1.1);
    expect(due({ version, verification: verified }, 0)).toBeUndefined();
    expect(due({ version, verification: { ...verified, nextAt } }, 0)).toBe(Date.parse(nextAt));
  });
});
