import { describe, expect, test } from 'vitest';

import type { UserKeyPolicyValidation } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { triesPerWindowMax } from '#operator/intake/request-limiter.ts';
import { userKeyPolicies } from '#operator/kube/keyring-resources.ts';
import type { KeyToTry } from '#operator/validation/prober.ts';
import { KeyTrials } from '#operator/validation/trials.ts';
import type { ProbeFinding } from '#operator/validation/verdict.ts';
import { verifies } from '#test/requirements.ts';

import { testIntake } from './fixtures.ts';

const key = 'ghp_theKeyOfAlice0123';
const accepted = { verdict: 'Accepted', reason: 'Accepted' } as const;
const rejected = { verdict: 'Rejected', reason: 'KeyRefused' } as const;
const lacking = { verdict: 'InsufficientScope', reason: 'ScopeMissing' } as const;
const silent = { reason: 'TimedOut' } as const;
const partial = { reason: 'HeadersMissing' } as const;

const set = { v: 1, operation: 'set', server: 'github' } as const;
const trial = { v: 1, operation: 'test', server: 'github' } as const;

/** Intake with a policy, and an upstream that says `finding` to every key. */
async function world(validation: UserKeyPolicyValidation, finding: ProbeFinding) {
  const tries: { values: Readonly<Record<string, string>>; version: number }[] = [];
  const upstream = { finding };
  const prober = {
    try: ({ values, version, probes }: KeyToTry) => {
      tries.push({
        version,
        values: Object.fromEntries(values.map(({ name, value }) => [name, value.bytes.toString()])),
      });
      const [probe] = probes;
      return Promise.resolve(probe === undefined ? undefined : { finding: upstream.finding, probe });
    },
  };
  const made = await testIntake();
  const trials = new KeyTrials({
    ends: { told: () => {} },
    prober,
    client: made.cluster.client,
    audit: made.deps.audit,
    suspicion: { judge: (_server, _user, finding) => finding },
    now: made.deps.now,
    random: () => 0,
  });
  Object.assign(made.deps, { trials });
  const probe = { tool: { name: 'get_me' } };
  made.cluster.put(userKeyPolicies, {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKeyPolicy',
    metadata: { namespace: 'team-a', name: 'strict' },
    spec: { servers: { selector: {} }, validation: { probe, ...validation } },
  });
  const userKey = (): UserKey | undefined =>
    [...made.cluster.objects.values()].find((object): object is UserKey => object.kind === 'UserKey');
  const sealed = () => [...made.cluster.objects.keys()].filter((name) => name.includes('mcp-keyring-keys/'));
  return { ...made, tries, upstream, userKey, sealed };
}

describe('a key that is set', () => {
  test(verifies('validation:enforced'), async () => {
    for (const finding of [rejected, lacking, { verdict: 'Rejected', reason: 'ToolFailed' } as const, silent]) {
      const w = await world({ onSave: 'Enforce' }, finding);
      const response = await w.ask(set, { Authorization: key });
      const code = finding === silent ? 'KeyNotChecked' : 'KeyRejected';
      expect(response).toMatchObject({
        outcome: 'refused',
        code,
        message: expect.stringContaining('GITHUB') as string,
      });
      expect(w.sealed()).toEqual([]);
      expect(w.userKey()).toBeUndefined();
      expect(w.audited).toMatchObject([{ type: 'key.probed', reason: finding.reason, actor: 'alice' }]);
      expect(JSON.stringify([response, w.audited])).not.toContain(key);
    }
  });

  test('is stored once its upstream accepts it, with what was found out', async () => {
    const w = await world({ onSave: 'Enforce', schedule: '24h' }, accepted);
    const response = await w.ask(set, { Authorization: `Bearer ${key}` });
    expect(response).toMatchObject({
      outcome: 'ok',
      check: { verdict: 'Accepted', message: 'GITHUB accepts the key.' },
    });
    expect(w.tries).toEqual([{ version: 0, values: { Authorization: key } }]);
    const { version, verification } = w.userKey()?.status ?? {};
    expect(verification).toEqual({
      version,
      verdict: 'Accepted',
      at: w.clock.now.toISOString(),
      failures: 0,
      message: 'GITHUB accepts the key.',
      nextAt: new Date(w.clock.now.getTime() + 86_400_000).toISOString(),
    });
    expect(w.audited.map(({ type }) => type)).toEqual(['key.probed', 'key.set']);
  });

  test.each([
    [rejected, { verdict: 'Rejected', failures: 1 }],
    [lacking, { verdict: 'InsufficientScope', failures: 1 }],
    [silent, { verdict: 'Unverified', failures: 0 }],
  ])('is stored with a warning where the policy only warns: %j', async (finding, verification) => {
    const w = await world({ onSave: 'Warn' }, finding);
    expect(await w.ask(set, { Authorization: key })).toMatchObject({
      outcome: 'ok',
      check: { reason: finding.reason },
    });
    expect(w.sealed()).toHaveLength(1);
    expect(w.userKey()?.status).not.toHaveProperty('rejected');
    expect(w.userKey()?.status?.verification).toMatchObject(verification);
  });

  test('is not tried where the policy says Off, or none says how', async () => {
    const off = await world({ onSave: 'Off' }, rejected);
    expect(await off.ask(set, { Authorization: key })).not.toHaveProperty('check');
    expect(off.tries).toEqual([]);
  });

  test('of several headers is tried whole: with those that are stored, and not before it is whole', async () => {
    const w = await world({ onSave: 'Enforce' }, partial);
    const jira = { v: 1, operation: 'set', server: 'jira' } as const;
    expect(await w.ask(jira, { 'X-Jira-Email': 'a@b.example' })).toMatchObject({ outcome: 'ok' });
    expect(w.userKey()?.status).not.toHaveProperty('verification');
    w.upstream.finding = accepted;
    expect(await w.ask(jira, { 'X-Jira-Token': 't' })).toMatchObject({ outcome: 'ok' });
    expect(w.tries[1]?.values).toEqual({ 'X-Jira-Email': 'a@b.example', 'X-Jira-Token': 't' });
    w.upstream.finding = rejected;
    expect(await w.ask(jira, { 'X-Jira-Token': 'wrong' })).toMatchObject({ code: 'KeyRejected' });
    w.upstream.finding = accepted;
    await w.ask({ ...jira, operation: 'test' });
    expect(w.tries.at(-1)?.values).toEqual({ 'X-Jira-Email': 'a@b.example', 'X-Jira-Token': 't' });
  });
});

describe('a key that is tried', () => {
  test('before it is stored, leaves nothing behind but the record', async () => {
    const w = await world({}, lacking);
    const response = await w.ask(trial, { Authorization: key });
    expect(response).toMatchObject({
      outcome: 'ok',
      operation: 'test',
      tried: 'given',
      check: {
        verdict: 'InsufficientScope',
        message: 'GITHUB knows the key, but the key lacks the rights for get_me (403).',
      },
    });
    expect(w.sealed()).toEqual([]);
    expect(w.userKey()).toBeUndefined();
    expect(w.audited).toMatchObject([{ type: 'key.probed', verdict: 'InsufficientScope' }]);
    expect(JSON.stringify([response, w.audited])).not.toContain(key);
  });

  test('has to be well-formed', async () => {
    const w = await world({}, accepted);
    expect(await w.ask(trial, { Authorization: 'gho_x' })).toMatchObject({ code: 'InvalidFormat' });
    expect(w.tries).toEqual([]);
  });

  test('as it is stored, has its verdict on record', async () => {
    const w = await world({ onSave: 'Off' }, rejected);
    await w.ask(set, { Authorization: key });
    expect(await w.ask(trial)).toMatchObject({ tried: 'stored', check: { verdict: 'Rejected' } });
    expect(await w.ask(trial)).toMatchObject({ check: { verdict: 'Rejected' } });
    const { version, verification } = w.userKey()?.status ?? {};
    expect(verification).toMatchObject({ version, verdict: 'Rejected', failures: 2 });
    expect(w.tries.map((one) => one.version)).toEqual([version, version]);
  });

  test('is refused a user who tries many, and goes on for others', async () => {
    const w = await world({ onSave: 'Enforce' }, rejected);
    for (let count = 0; count < triesPerWindowMax; count += 1)
      await w.ask(count % 2 === 0 ? trial : set, { Authorization: key });
    for (const control of [trial, set])
      expect(await w.ask(control, { Authorization: key })).toMatchObject({ code: 'TooManyRequests' });
    expect(w.tries).toHaveLength(triesPerWindowMax);
    expect(await w.ask(trial, { Authorization: key }, 'bob')).toMatchObject({ outcome: 'ok' });
    expect(await w.ask({ v: 1, operation: 'status', server: 'github' })).toMatchObject({ outcome: 'ok' });
  });

  test('is missed where none is stored', async () => {
    const w = await world({}, accepted);
    expect(await w.ask(trial)).toMatchObject({
      code: 'HeaderMissing',
      message: expect.stringContaining('mcpkeys set') as string,
    });
  });
});
