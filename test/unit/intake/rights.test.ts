import { describe, expect, test } from 'vitest';

import type { AccessVerdict } from '#operator/rights/access-reviews.ts';
import type { Right } from '#operator/rights/verbs.ts';
import { verifies } from '#test/requirements.ts';

import { namespace, testIntake } from './fixtures.ts';

const set = (server: string) => ({ v: 1, operation: 'set', server }) as const;
const hash = 'a'.repeat(43);
const forbidden = { outcome: 'refused', code: 'Forbidden' };

/** Intake where users may use the servers of `usable`, or nobody can be asked. */
async function world(usable: readonly string[] | 'unknown') {
  const may = { usable };
  const ask = (_: unknown, { verb, server }: Right): Promise<AccessVerdict> => {
    if (may.usable === 'unknown') return Promise.resolve('unknown');
    return Promise.resolve(verb === 'use' && may.usable.includes(server ?? '*') ? 'allowed' : 'denied');
  };
  return { ...(await testIntake({ rights: { ask } })), may };
}

describe('an order of a user without the right', () => {
  test.each([
    ['set', set('github')],
    ['status', { v: 1, operation: 'status', server: 'github' }],
    ['test', { v: 1, operation: 'test', server: 'github' }],
    ['token-create', { v: 1, operation: 'token-create', hash, servers: ['jira', 'github'] }],
  ] as const)('%s is refused with the verb, the command, and a word on record', async (_, control) => {
    verifies('rights:verbs');
    const { ask, audited, cluster } = await world(['jira']);
    const before = [...cluster.objects.keys()].filter((key) => !key.startsWith('userkeyrequests'));
    const answer = await ask(control, control.operation === 'set' ? { Authorization: 'ghp_a' } : {});
    expect(answer).toMatchObject(forbidden);
    const { message } = answer as { message: string };
    expect(message).toContain('use mcpservers.mcpkeyring.io/github in namespace team-a');
    expect(message).toMatch(/kubectl create rolebinding \S+ -n team-a --clusterrole mcp-keyring-user --user 'alice'$/u);
    expect(audited).toMatchObject([
      {
        type: 'denied',
        reason: 'Forbidden',
        organization: 'default',
        server: { namespace, name: 'github' },
        subject: { id: 'alice' },
      },
    ]);
    expect([...cluster.objects.keys()].filter((key) => !key.startsWith('userkeyrequests'))).toEqual(before);
  });

  test('does not tell whether the server is there', async () => {
    const { ask } = await world(['jira']);
    const [there, missing] = [await ask(set('github')), await ask(set('no-such'))];
    const message = (answer: object) => (answer as { message: string }).message;
    expect(message(missing)).toBe(message(there).replace('/github', '/no-such'));
  });

  test('still takes back what is their own, and lists what they may use or have a key at', async () => {
    verifies('rights:take-back');
    const { ask, may } = await world(['github', 'jira']);
    expect(await ask(set('github'), { Authorization: 'ghp_a' })).toMatchObject({ outcome: 'ok' });
    may.usable = ['jira'];
    expect(await ask({ v: 1, operation: 'list' })).toMatchObject({
      keys: [{ server: 'github' }, { server: 'jira' }],
      more: 0,
    });
    expect(await ask({ v: 1, operation: 'delete', server: 'github' })).toMatchObject({ deleted: true });
    may.usable = [];
    expect(await ask({ v: 1, operation: 'list' })).toMatchObject({ outcome: 'ok' });
  });

  test('is refused as soon as the right is taken away', async () => {
    verifies('rights:taken-away');
    const { ask, may } = await world(['github']);
    expect(await ask(set('github'), { Authorization: 'ghp_a' })).toMatchObject({ outcome: 'ok' });
    may.usable = [];
    expect(await ask(set('github'), { Authorization: 'ghp_b' })).toMatchObject(forbidden);
  });
});

test('when nobody can be asked nothing is stored, nor listed', async () => {
  verifies('rights:unanswered');
  const { ask, audited, cluster } = await world('unknown');
  const unavailable = { outcome: 'refused', code: 'RightsUnavailable' };
  expect(await ask(set('github'), { Authorization: 'ghp_a' })).toMatchObject(unavailable);
  expect(await ask({ v: 1, operation: 'list' })).toMatchObject(unavailable);
  expect(audited).toEqual([]);
  expect([...cluster.objects.values()].filter(({ kind }) => kind === 'UserKey')).toEqual([]);
});
