import { expect, test } from 'vitest';
import { SessionOwners } from '#sidecar/proxy/session-owners.ts';

test('a user with too many sessions loses the longest unused of them', () => {
  const owners = new SessionOwners({ perUserMax: 2, allMax: 10 });
  owners.bind('other', 'alice');
  for (const id of ['1', '2', '1', '3']) owners.bind(id, 'bob');
  expect(['other', '1', '2', '3'].map((id) => owners.ownerOf(id))).toEqual(['alice', 'bob', undefined, 'bob']);
});

test('when there are too many in all, who has the most loses one', () => {
  const owners = new SessionOwners({ perUserMax: 3, allMax: 4 });
  owners.bind('a', 'alice');
  for (const id of ['1', '2', '3']) owners.bind(id, 'bob');
  owners.bind('c', 'carol');
  owners.bind('d', 'dave');
  expect(['a', 'c', 'd'].map((id) => owners.ownerOf(id))).toEqual(['alice', 'carol', 'dave']);
  expect(['1', '2', '3'].map((id) => owners.ownerOf(id))).toEqual([undefined, undefined, 'bob']);
  expect(owners.size).toBe(4);
});

test('a session that is bound anew leaves the user who had it', () => {
  const owners = new SessionOwners({ perUserMax: 1, allMax: 4 });
  owners.bind('1', 'bob');
  owners.bind('1', 'alice');
  owners.bind('2', 'bob');
  expect([owners.ownerOf('1'), owners.ownerOf('2')]).toEqual(['alice', 'bob']);
  owners.forget('1');
  owners.forget('1');
  expect(owners.size).toBe(1);
});
