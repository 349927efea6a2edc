import { expect, test } from 'vitest';
import { type OwnedBounds, OwnedEntries } from '#sidecar/proxy/owned-entries.ts';

function set(bounds: OwnedBounds) {
  const entries = new OwnedEntries(bounds);
  return {
    entries,
    bind: (key: string, owner: string): void => entries.set(key, { owner }),
    ownersOf: (...keys: string[]) => keys.map((key) => entries.get(key)?.owner),
  };
}

test('a user with too many entries loses the longest unused of them', () => {
  const { bind, ownersOf } = set({ perUserMax: 2, allMax: 10 });
  bind('other', 'alice');
  for (const key of ['1', '2', '1', '3']) bind(key, 'bob');
  expect(ownersOf('other', '1', '2', '3')).toEqual(['alice', 'bob', undefined, 'bob']);
});

test('when there are too many in all, who has the most loses one', () => {
  const { entries, bind, ownersOf } = set({ perUserMax: 3, allMax: 4 });
  bind('a', 'alice');
  for (const key of ['1', '2', '3']) bind(key, 'bob');
  bind('c', 'carol');
  bind('d', 'dave');
  expect(ownersOf('a', 'c', 'd')).toEqual(['alice', 'carol', 'dave']);
  expect(ownersOf('1', '2', '3')).toEqual([undefined, undefined, 'bob']);
  expect(entries.size).toBe(4);
});

test('an entry that is set anew leaves the user who had it', () => {
  const { entries, bind, ownersOf } = set({ perUserMax: 1, allMax: 4 });
  bind('1', 'bob');
  bind('1', 'alice');
  bind('2', 'bob');
  expect(ownersOf('1', '2')).toEqual(['alice', 'bob']);
  entries.delete('1');
  entries.delete('1');
  expect(entries.size).toBe(1);
});
