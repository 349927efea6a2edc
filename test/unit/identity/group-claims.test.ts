import type { JWTPayload } from 'jose';
import { describe, expect, test } from 'vitest';

import { readGroups } from '#operator/identity/group-claims.ts';
import { identityLimits } from '#operator/identity/identity-limits.ts';
import { verifies } from '#test/requirements.ts';

const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `group-${i}`);

describe('the groups of a token', () => {
  test.each<[string, JWTPayload, string, readonly string[]]>([
    ['a claim', { roles: ['dev', 'ops'] }, 'roles', ['dev', 'ops']],
    ['one text, which is one group', { role: 'dev ops,x' }, 'role', ['dev ops,x']],
    ['a member of a claim', { realm_access: { roles: ['dev'] } }, 'realm_access.roles', ['dev']],
    ['a deep member', { a: { b: { c: ['dev'] } } }, 'a.b.c', ['dev']],
    ['a claim with dots in its name', { 'https://x.example/groups': ['dev'] }, 'https://x.example/groups', ['dev']],
    ['the claim before the path', { 'a.b': ['whole'], a: { b: ['path'] } }, 'a.b', ['whole']],
    ['each once', { groups: ['dev', 'dev'] }, 'groups', ['dev']],
    ['none', {}, 'groups', []],
    ['a way that leads nowhere', { a: ['x'] }, 'a.b', []],
    ['a way through a list', { a: [{ b: ['x'] }] }, 'a.0.b', []],
    ['what only a prototype has', {}, 'constructor.name', []],
    ['a way that is too long', { a: { b: 1 } }, 'a.b.c.d.e.f.g.h.i.j', []],
    ['as many as there may be', { groups: many(identityLimits.groupsMax) }, 'groups', many(identityLimits.groupsMax)],
  ])('are read from %s', (...[, payload, groups, expected]) => {
    verifies('identity:groups');
    expect(readGroups(payload, { groups })).toEqual(expected);
  });

  test.each([
    ['system:masters'],
    ['system:serviceaccounts:team-a'],
    ['x'.repeat(identityLimits.groupCharsMax + 1)],
    ['a\nb'],
    [''],
  ])('leave out what is not for an issuer to give, or no policy can name: %o', (group) => {
    expect(readGroups({ groups: [group, 'dev'] }, { groups: 'groups' })).toEqual(['dev']);
  });

  test('of one issuer are told from those of another by a prefix, which is no way into the groups of the cluster', () => {
    expect(readGroups({ groups: ['dev'] }, { groups: 'groups', groupsPrefix: 'partner:' })).toEqual(['partner:dev']);
    expect(readGroups({ groups: ['masters'] }, { groups: 'groups', groupsPrefix: 'system:' })).toEqual([]);
  });

  test('are not guessed when there are too many, or when the issuer says that they are elsewhere', () => {
    verifies('identity:groups');
    expect(readGroups({ groups: many(identityLimits.groupsMax + 1) }, { groups: 'groups' })).toBeUndefined();
    const elsewhere = { _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://x.example' } } };
    expect(readGroups(elsewhere, { groups: 'groups' })).toBeUndefined();
    expect(readGroups(elsewhere, { groups: 'roles' })).toEqual([]);
  });
});
