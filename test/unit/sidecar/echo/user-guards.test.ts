import { expect, test } from 'vitest';
import type { LeasedHeader } from '#contract/lease.ts';
import { type CurrentGuard, rememberedMinutes, UserGuards } from '#sidecar/echo/user-guards.ts';

const header = (value: string): readonly LeasedHeader[] => [{ name: 'X-Api-Key', value }];
const first = header('first-key-0001');
const second = header('second-key-0002');

function finds({ current }: CurrentGuard, headers: readonly LeasedHeader[]): boolean {
  return current !== undefined && current.mask(Buffer.from(headers[0]!.value), true).echoes === 1;
}

/** A request that is answered at once. */
function pass(guards: UserGuards, user: string, headers?: readonly LeasedHeader[]): void {
  guards.begin(user, headers).end();
}

function ticks(guards: UserGuards, minutes: number): void {
  for (let minute = 0; minute < minutes; minute += 1) guards.tick();
}

test('a response is guarded by every key that its user had since it began, and by none of others', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', first);
  pass(guards, 'bob', header('key-of-bob-0003'));
  const before = open.current;
  expect(finds(open, header('key-of-bob-0003'))).toBe(false);
  pass(guards, 'alice', second);
  expect(finds(open, first) && finds(open, second)).toBe(true);
  expect(before).not.toBe(open.current);
});

test('a user with one key has one guard, whatever the lease', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', first);
  const before = open.current;
  pass(guards, 'alice', header(first[0]!.value));
  expect(open.current).toBe(before);
});

test('a key that is not leased any more is looked for some minutes, and then nowhere in memory', () => {
  const guards = new UserGuards();
  pass(guards, 'alice', first);
  ticks(guards, rememberedMinutes);
  const later = guards.begin('alice', second);
  expect(finds(later, first)).toBe(true);
  later.end();
  guards.tick();
  const latest = guards.begin('alice', undefined);
  expect(finds(latest, first)).toBe(false);
  expect(finds(latest, second)).toBe(true);
  latest.end();
  ticks(guards, rememberedMinutes + 1);
  expect(guards.size).toBe(0);
});

test('as long as a response is open that may have it, and as long after that as after any other', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', first);
  ticks(guards, 500);
  expect(finds(open, first)).toBe(true);
  open.end();
  open.end();
  ticks(guards, rememberedMinutes);
  expect(finds(guards.begin('alice', second), first)).toBe(true);
});

test('a stream that began later does not keep a key in memory that was replaced before', () => {
  const guards = new UserGuards();
  pass(guards, 'alice', first);
  guards.tick();
  const open = guards.begin('alice', second);
  ticks(guards, rememberedMinutes);
  expect(finds(open, first)).toBe(false);
  expect(finds(open, second)).toBe(true);
});

test('of many keys the latest are known, those of the lease among them', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', first);
  guards.tick();
  for (let index = 10; index < 50; index += 1) pass(guards, 'alice', header(`changed-key-${index}`));
  expect(finds(open, first)).toBe(false);
  expect(finds(open, header('changed-key-49'))).toBe(true);
});

test('all keys of one lease are looked for, however many they are', () => {
  const guards = new UserGuards();
  pass(guards, 'alice', first);
  const many = Array.from({ length: 32 }, (_, index) => header(`one-of-many-keys-${index + 10}`));
  const open = guards.begin('alice', many.flat());
  expect(many.every((one) => finds(open, one))).toBe(true);
  expect(finds(open, first)).toBe(false);
});

test('of a user who has neither key nor response nothing is kept', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', undefined);
  expect(guards.size).toBe(1);
  open.end();
  expect(guards.size).toBe(0);
});

test('users are bounded, and who has a stream open is not forgotten', () => {
  const guards = new UserGuards();
  const open = guards.begin('alice', first);
  for (let index = 0; index < 20_000; index += 1) pass(guards, `user-${index}`, header(`key-number-${index}`));
  expect(guards.size).toBeLessThanOrEqual(16_384);
  pass(guards, 'alice', second);
  expect(finds(open, second)).toBe(true);
});
