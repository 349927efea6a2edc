import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { UserKeyPolicySubjects } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { ApprovalRules } from '#operator/policy/approval-rules.ts';
import { bind, type PolicyUser } from '#operator/policy/bound-policies.ts';
import { effectivePolicy, policyUserOf } from '#operator/policy/effective-policy.ts';
import { userRules } from '#operator/policy/user-rules.ts';
import type { ValidationRules } from '#operator/policy/validation-rules.ts';
import { verifies } from '#test/requirements.ts';

import { header, policy, server, userKey } from '../controllers/fixtures.ts';

const ada: PolicyUser = { subject: { issuer: 'https://login.example.com', id: 'u-1' }, groups: ['contractors'] };
const account: PolicyUser = {
  subject: { issuer: 'kubernetes', id: 'system:serviceaccount:team-a:agent' },
  groups: ['system:serviceaccounts'],
};

describe('a policy with subjects', () => {
  const isFor = (subjects: UserKeyPolicySubjects, user: PolicyUser): boolean =>
    bind(server(), [policy({ subjects })], { kind: 'user', user }).policies.length === 1;

  test.each<[string, UserKeyPolicySubjects, PolicyUser, boolean]>([
    ['a group that the user is in', { groups: ['staff', 'contractors'] }, ada, true],
    ['a group that they are not in', { groups: ['staff'] }, ada, false],
    ['a group in other letters', { groups: ['Contractors'] }, ada, false],
    ['their id', { users: ['u-1'] }, ada, true],
    ['a name that they show', { users: ['ada@example.com'] }, ada, false],
    ['any of several', { groups: ['staff'], users: ['u-1'] }, ada, true],
    ['their ServiceAccount', { serviceAccounts: [{ namespace: 'team-a', name: 'agent' }] }, account, true],
    ['one of another namespace', { serviceAccounts: [{ namespace: 'team-b', name: 'agent' }] }, account, false],
    [
      'a ServiceAccount whose name a user of another issuer has as id',
      { serviceAccounts: [{ namespace: 'team-a', name: 'agent' }] },
      { ...account, subject: { ...account.subject, issuer: 'https://login.example.com' } },
      false,
    ],
    ['nobody', {}, ada, false],
  ])('names %s', (...[, subjects, user, expected]) => {
    expect(isFor(subjects, user)).toBe(expected);
  });

  test('holds for a user who is not there by the groups they were seen in last', () => {
    const seen = { groups: ['contractors'], seenAt: '2026-03-01T00:00:00Z' };
    expect(isFor({ groups: ['contractors'] }, policyUserOf(userKey({ status: { subject: seen } })))).toBe(true);
    expect(isFor({ groups: ['contractors'] }, policyUserOf(userKey()))).toBe(false);
  });

  test('is not for everybody, and what is for everybody is not told with each lease', () => {
    const mine = policy({ name: 'mine', subjects: { users: ['u-1'] }, tools: { deny: ['drop_*'] } });
    const all = policy({ name: 'all', tools: { deny: ['purge'] } });
    const names = (whom: Parameters<typeof bind>[2]): readonly string[] =>
      bind(server(), [mine, all], whom).policies.map(({ metadata }) => metadata.name);
    expect(names({ kind: 'everyUser' })).toEqual(['all']);
    expect(names({ kind: 'user', user: ada })).toEqual(['all', 'mine']);
    expect(names({ kind: 'user', user: account })).toEqual(['all']);
    expect(names({ kind: 'onlyUser', user: ada })).toEqual(['mine']);
    expect(names({ kind: 'someUser' })).toEqual(['all', 'mine']);
    expect(userRules(server(), [mine, all], ada)).toEqual({ tools: [{ deny: ['drop_*'] }] });
    expect(userRules(server(), [mine, all], account)).toBeUndefined();
  });
});

const approval = fc.record(
  {
    required: fc.boolean(),
    approvers: fc.record({ groups: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }) }),
    validFor: fc.integer({ min: 1, max: 300 }).map((days) => `${days}d`),
  },
  { requiredKeys: [] },
);
const validation = fc.record(
  {
    onSave: fc.constantFrom('Enforce' as const, 'Warn' as const, 'Off' as const),
    schedule: fc.integer({ min: 1, max: 99 }).map((hours) => `${hours}h`),
    invalidAfterFailures: fc.integer({ min: 1, max: 9 }),
    probe: fc.constant({ tool: { name: 'whoami' } }),
  },
  { requiredKeys: [] },
);
const keys = fc.constantFrom({ required: ['A'] }, { optional: ['A'] }, { required: ['B'], optional: ['A'] });
const anyPolicy = fc
  .record(
    { keys, validation, approval, subjects: fc.constantFrom({ users: ['u-1'] }, { users: ['u-2'] }) },
    { requiredKeys: [] },
  )
  .map((spec) => (name: string) => policy({ name, ...spec }));

const strictness = ['Off', 'Warn', 'Enforce'];

function expectNoLaxerApproval(before: ApprovalRules | undefined, after: ApprovalRules | undefined): void {
  if (before === undefined) return;
  expect(after?.approvers).toEqual(expect.arrayContaining([...before.approvers]));
  expect(after?.validForMs?.value ?? Infinity).toBeLessThanOrEqual(before.validForMs?.value ?? Infinity);
}

function expectNoLaxerValidation(before: ValidationRules, after: ValidationRules): void {
  expect(after.probes).toEqual(expect.arrayContaining([...before.probes]));
  expect(after.intervalMs ?? Infinity).toBeLessThanOrEqual(before.intervalMs ?? Infinity);
  if (before.decidedBy.onSave !== undefined)
    expect(strictness.indexOf(after.onSave)).toBeGreaterThanOrEqual(strictness.indexOf(before.onSave));
  if (before.decidedBy.invalidAfterFailures !== undefined)
    expect(after.invalidAfterFailures).toBeLessThanOrEqual(before.invalidAfterFailures);
}

describe('several policies', () => {
  const declared = server({ headers: [header('A'), header('B', { required: false })] });

  test(verifies('policy:strictest'), () => {
    fc.assert(
      fc.property(fc.array(anyPolicy, { maxLength: 5 }), anyPolicy, (some, more) => {
        const policies = some.map((make, index) => make(`p${index}`));
        const before = effectivePolicy(declared, policies, ada);
        expect(effectivePolicy(declared, policies.toReversed(), ada)).toEqual(before);
        const after = effectivePolicy(declared, [...policies, more('q')], ada);
        expectNoLaxerApproval(before.approval, after.approval);
        expectNoLaxerValidation(before.validation, after.validation);
        for (const [index, { decidedBy, required }] of before.headers.entries())
          if (decidedBy.kind === 'policy' && required) expect(after.headers[index]?.required).toBe(true);
      }),
    );
  });

  test('say for each value which of them it is from', () => {
    const strict = policy({ name: 'strict', validation: { onSave: 'Enforce', schedule: '24h' } });
    const often = policy({ name: 'often', validation: { schedule: '1h', invalidAfterFailures: 3 } });
    const { validation: rules } = effectivePolicy(server(), [strict, often], ada);
    expect(rules).toMatchObject({
      onSave: 'Enforce',
      intervalMs: 3_600_000,
      invalidAfterFailures: 3,
      decidedBy: { onSave: 'strict', intervalMs: 'often', invalidAfterFailures: 'often' },
    });
  });

  test('that ask for approval have all of their approvers asked, also those of one that does not require it', () => {
    const asking = policy({ name: 'asking', approval: { required: true, validFor: '90d' } });
    const naming = policy({ name: 'naming', approval: { approvers: { groups: ['security'] }, validFor: '30d' } });
    expect(effectivePolicy(server(), [naming], ada).approval).toBeUndefined();
    expect(effectivePolicy(server(), [asking, naming], ada).approval).toEqual({
      requiredBy: 'asking',
      approvers: [{ value: ['security'], decidedBy: 'naming' }],
      validForMs: { value: 30 * 86_400_000, decidedBy: 'naming' },
    });
  });
});
