import { describe, expect, test } from 'vitest';

import { askedApproval } from '#operator/approvals/decide.ts';
import { approvalStanding, grantEndMs } from '#operator/approvals/standing.ts';
import type { UserKeyApproval } from '#crds/v1alpha1/generated/user-key.ts';
import { verifies } from '#test/requirements.ts';

const at = '2026-11-25T09:00:00.000Z';
const atMs = Date.parse(at);
const day = 86_400_000;
const days = (count: number) => ({ validForMs: { value: count * day, decidedBy: 'p' } });
const granted = (until?: string): UserKeyApproval => ({
  state: 'Granted',
  at,
  by: 'boss',
  ...(until === undefined ? {} : { until }),
});
const iso = (ms: number): string => new Date(ms).toISOString();
const standing = approvalStanding;

describe('a grant', () => {
  test('ends at the moment that it names, and not before', () => {
    verifies('approval:ends');
    const until = iso(atMs + day);
    expect(standing(granted(until), {}, atMs + day - 1)).toBe('granted');
    expect(standing(granted(until), {}, atMs + day)).toBe('ended');
  });

  test('ends earlier when policies let it last less by now, and later by none', () => {
    verifies('approval:ends');
    const until = iso(atMs + 30 * day);
    expect(grantEndMs(granted(until), days(7))).toBe(atMs + 7 * day);
    expect(grantEndMs(granted(until), days(90))).toBe(atMs + 30 * day);
    expect(grantEndMs(granted(), days(7))).toBe(atMs + 7 * day);
    expect(grantEndMs(granted(), {})).toBe(Infinity);
  });

  test('is none with an end that nobody can read', () => {
    expect(standing(granted('soon'), {}, atMs)).toBe('ended');
    expect(standing({ ...granted(), at: 'then' }, days(7), atMs)).toBe('ended');
  });
});

describe('asking', () => {
  const ask = (approval: UserKeyApproval | undefined, reason?: string, nowMs = atMs + day) =>
    askedApproval({ status: approval === undefined ? {} : { approval } }, days(30), { at: new Date(nowMs), reason });
  const now = iso(atMs + day);

  test('puts a user on the list who was not there, was refused, or whose grant has ended', () => {
    verifies('approval:request');
    for (const known of [undefined, { state: 'Refused', at, by: 'boss', reason: 'no' } as const, granted(now)]) {
      expect(ask(known, 'work')).toEqual({ state: 'Requested', at: now, reason: 'work' });
    }
  });

  test('changes nothing twice, and a new reason is told', () => {
    const known = { state: 'Requested', at, reason: 'work' } as const;
    expect(ask(known)).toBe(known);
    expect(ask(known, 'work')).toBe(known);
    expect(ask(known, 'more work')).toMatchObject({ state: 'Requested', reason: 'more work' });
  });

  test('takes nothing away while a grant goes on', () => {
    verifies('approval:renewal');
    const known = granted(iso(atMs + 5 * day));
    const renewing = ask(known, 'still here');
    expect(renewing).toEqual({ ...known, renewal: { at: now, reason: 'still here' } });
    expect(standing(renewing, days(30), atMs + day)).toBe('renewal');
    expect(ask(renewing)).toBe(renewing);
    expect(standing(renewing, days(30), atMs + 5 * day)).toBe('ended');
  });
});
