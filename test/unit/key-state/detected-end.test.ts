import { describe, expect, test } from 'vitest';

import type { UserKeyDetected, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import { detectedToRecord, withDetected } from '#operator/key-state/detected-end.ts';
import { keyAge } from '#operator/key-state/key-age.ts';
import { alice, github, userKeyOf } from '#test/support/broker-world.ts';

const now = new Date('2026-11-25T10:00:00.000Z');
const at = (text: string) => Date.parse(text);
const told = (version: number, expiresAt: string): UserKeyDetected => ({ version, expiresAt, at: now.toISOString() });
const userKey = (status: UserKeyStatus) => userKeyOf(alice, github, status);

describe('what an upstream has told of the end of a key', () => {
  test('is put on record for the version that it was about', () => {
    const endsAtMs = at('2027-01-31T00:00:00Z');
    expect(detectedToRecord(userKey({ version: 5 }), { version: 5, endsAtMs }, now)).toEqual(
      told(5, '2027-01-31T00:00:00.000Z'),
    );
    expect(detectedToRecord(userKey({ version: 6 }), { version: 5, endsAtMs }, now)).toBeUndefined();
    expect(detectedToRecord(userKey({}), { version: 5, endsAtMs }, now)).toBeUndefined();
  });

  test('is not written again while it stays the same, and is when it changes or the key does', () => {
    const known = userKey({ version: 5, detected: told(5, '2027-01-31T00:00:00.000Z') });
    const record = (text: string) => detectedToRecord(known, { version: 5, endsAtMs: at(text) }, now);
    expect(record('2027-01-31T00:00:00Z')).toBeUndefined();
    expect(record('2027-01-31T00:00:59Z')).toBeUndefined();
    expect(record('2027-01-30T00:00:00Z')).toMatchObject({ expiresAt: '2027-01-30T00:00:00.000Z' });
    expect(record('2027-02-28T00:00:00Z')).toMatchObject({ expiresAt: '2027-02-28T00:00:00.000Z' });
    const other = userKey({ version: 6, detected: told(5, '2027-01-31T00:00:00.000Z') });
    expect(detectedToRecord(other, { version: 6, endsAtMs: at('2027-01-31T00:00:00Z') }, now)).toBeDefined();
  });

  test('is no end when it has passed, for the upstream still answers, nor when nobody could write it', () => {
    for (const endsAtMs of [now.getTime(), 0, -1, Number.NaN, Infinity, 253_402_300_800_000]) {
      expect(detectedToRecord(userKey({ version: 5 }), { version: 5, endsAtMs }, now)).toBeUndefined();
    }
  });

  test('ends the key then, and earlier where the value itself says so', () => {
    const detected = userKey({ version: 5, detected: told(5, '2027-01-31T00:00:00.000Z') });
    const ageOf = (ends: { name: string; detectedAtMs?: number; declaredAtMs?: number }[]) =>
      keyAge(withDetected({ version: 5, ends }, ['authorization'], detected), undefined, now.getTime());
    expect(ageOf([])).toMatchObject({ reason: 'DetectedExpiry', expiresAtMs: at('2027-01-31T00:00:00Z') });
    const [early, late] = [at('2027-01-01T00:00:00Z'), at('2027-12-31T00:00:00Z')];
    expect(ageOf([{ name: 'authorization', detectedAtMs: early }])).toMatchObject({ expiresAtMs: early });
    expect(ageOf([{ name: 'authorization', detectedAtMs: late }])).toMatchObject({
      expiresAtMs: at('2027-01-31T00:00:00Z'),
    });
    expect(ageOf([{ name: 'authorization', declaredAtMs: early }])).toMatchObject({ reason: 'DeclaredExpiry' });
  });

  test('says nothing of another version, and nothing when it is no time', () => {
    const of = (detected: UserKeyDetected) =>
      withDetected({ version: 6 }, ['authorization'], userKey({ version: 6, detected })).ends;
    expect(of(told(5, '2027-01-31T00:00:00.000Z'))).toEqual([]);
    expect(of(told(6, 'soon'))).toEqual([]);
    expect(withDetected({ version: 6 }, ['authorization'], undefined).ends).toEqual([]);
  });

  test('is about Authorization where that is one of several headers, else about all of them', () => {
    const detected = userKey({ version: 5, detected: told(5, '2027-01-31T00:00:00.000Z') });
    const namesOf = (...names: string[]) => withDetected({ version: 5 }, names, detected).ends.map(({ name }) => name);
    expect(namesOf('X-Workspace', 'Authorization')).toEqual(['authorization']);
    expect(namesOf('X-Email', 'X-Token')).toEqual(['x-email', 'x-token']);
  });
});
