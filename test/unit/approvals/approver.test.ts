import { describe, expect, test } from 'vitest';

import { type Approver, approverProblem, approvingGroups } from '#operator/approvals/approver.ts';
import { verifies } from '#test/requirements.ts';

const issuer = 'https://idp.example.com';
const cluster = (username: string, ...groups: string[]): Approver => ({
  subject: { issuer: 'kubernetes', id: username, name: username },
  groups,
  username,
});
const login = (id: string, name: string, username = 'somebody'): Approver => ({
  subject: { issuer, id, name },
  groups: [],
  username,
});
const nobodyNamed = { approvers: [] };

describe('who approves', () => {
  test.each([
    ['the same login', login('42', 'ann'), { issuer, id: '42', name: 'renamed' }],
    ['the same user of the cluster', cluster('ann'), { issuer: 'kubernetes', id: 'ann', name: 'ann' }],
    [
      'a login shown by a request of their own user of the cluster',
      login('42', 'boss', 'ann'),
      { issuer: 'kubernetes', id: 'ann', name: 'ann' },
    ],
    [
      'their user of the cluster by the name of their login',
      cluster('ann@a.example'),
      { issuer, id: '42', name: 'ann@a.example' },
    ],
    ['the same with a prefix', cluster('oidc:ann@a.example'), { issuer, id: '42', name: 'ann@a.example' }],
    ['the same by the id, as the API server names it', cluster(`${issuer}#42`), { issuer, id: '42', name: 'ann' }],
    [
      'their login by the name of their user of the cluster',
      login('42', 'ann@a.example'),
      { issuer: 'kubernetes', id: 'oidc:ann@a.example', name: 'x' },
    ],
    [
      'a login of the same name at another issuer',
      login('7', 'ann@a.example'),
      { issuer: 'https://other.example.com', id: '42', name: 'ann@a.example' },
    ],
  ] as const)('does not approve themselves: %s', (_, approver, user) => {
    verifies('approval:not-oneself');
    expect(approverProblem(approver, user, nobodyNamed)).toEqual({ kind: 'themselves' });
  });

  test.each([
    ['another user of the cluster', cluster('bob'), { issuer: 'kubernetes', id: 'ann', name: 'ann' }],
    ['a user whose name only contains theirs', cluster('ann'), { issuer: 'kubernetes', id: 'joann', name: 'joann' }],
    [
      'the same id at another issuer',
      login('42', 'bob'),
      { issuer: 'https://other.example.com', id: '43', name: 'ann' },
    ],
  ] as const)('is another person than %s', (_, approver, user) => {
    expect(approverProblem(approver, user, nobodyNamed)).toBeUndefined();
  });

  test('has to be in one group of each policy that names any', () => {
    verifies('approval:approvers');
    const rules = {
      approvers: [
        { value: ['security', 'ciso'], decidedBy: 'a' },
        { value: ['legal'], decidedBy: 'b' },
      ],
    };
    const ann = { issuer: 'kubernetes', id: 'ann', name: 'ann' };
    expect(approverProblem(cluster('bob', 'legal', 'ciso'), ann, rules)).toBeUndefined();
    expect(approverProblem(cluster('bob', 'security'), ann, rules)).toMatchObject({ groups: { decidedBy: 'b' } });
    expect(approverProblem(cluster('bob', 'legal'), ann, rules)).toMatchObject({ groups: { decidedBy: 'a' } });
    expect(approverProblem(cluster('bob', 'Security', 'legal'), ann, rules)).toMatchObject({ kind: 'notInGroup' });
    expect(approvingGroups(cluster('bob', 'legal', 'ciso', 'private', 'legal'), rules)).toEqual(['ciso', 'legal']);
  });
});
