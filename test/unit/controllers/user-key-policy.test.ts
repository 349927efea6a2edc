import { describe, expect, test } from 'vitest';

import { decidePolicy } from '#operator/controllers/user-key-policy/decide.ts';

import { brief, header, messageOf, now, policy, server } from './fixtures.ts';

const github = server({ headers: [header('Authorization')] });
const gitlab = server({ metadata: { name: 'gitlab', uid: 'uid-gitlab' }, headers: [header('PRIVATE-TOKEN')] });

describe('a UserKeyPolicy', () => {
  test.each<[string, Parameters<typeof policy>[0], string, number, RegExp]>([
    ['is bound to what it selects', {}, 'Ready=True/Bound', 2, /github, gitlab/],
    ['is bound to what it names', { servers: { names: ['github'] } }, 'Ready=True/Bound', 1, /github/],
    [
      'without servers says so',
      { servers: { selector: { matchLabels: { no: 'where' } } } },
      'Ready=False/NoServers',
      0,
      /spec\.servers/,
    ],
    [
      'names the servers that do not exist, and where it is in force all the same',
      { servers: { names: ['github', 'nowhere'] } },
      'Ready=False/ServersNotFound',
      1,
      /nowhere.*In force at github/,
    ],
    [
      'names headers that nobody declares',
      { keys: { required: ['X-Typo'] } },
      'Ready=False/HeadersNotDeclared',
      2,
      /X-Typo/,
    ],
    [
      'is content when one of its servers declares the header, in any case',
      { keys: { optional: ['private-token'] } },
      'Ready=True/Bound',
      2,
      /./,
    ],
  ])('%s', (...[, change, conditions, servers, message]) => {
    const { steps, status } = decidePolicy({ object: policy(change), servers: [gitlab, github] }, now);
    expect(brief(status)).toBe(conditions);
    expect(messageOf(status)).toMatch(message);
    expect(status).toMatchObject({ servers, observedGeneration: 1, conditions: [{ observedGeneration: 1 }] });
    expect(steps).toEqual([]);
  });

  test('that is going away is left alone', () => {
    const object = { ...policy(), metadata: { ...policy().metadata, deletionTimestamp: '2026-03-01T00:00:00Z' } };
    expect(decidePolicy({ object, servers: [github] }, now)).toEqual({ steps: [] });
  });
});
