import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import { KeyCounts } from '#operator/controllers/mcp-server/key-counts.ts';

import { userKey } from './fixtures.ts';
import { FakeInformer } from './stores.ts';

const states = [
  'Configured',
  'Missing',
  'Invalid',
  'Expired',
  'Expiring',
  'NeedsUpdate',
  'PendingApproval',
  'Revoked',
  'Unverified',
] as const;
const server = { namespace: 'team-a', name: 'github' };

function named(index: number, state: (typeof states)[number]): UserKey {
  return userKey({ metadata: { name: `github-${index}` }, status: { state } });
}

test('counts are those of the cache, whatever happened in whatever order', () => {
  const change = fc.record({ index: fc.nat(5), state: fc.constantFrom(...states), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const counts = new KeyCounts();
      const informer = new FakeInformer<UserKey>();
      informer.onChange((seen) => counts.take(seen));
      for (const { index, state, remove } of changes) {
        if (remove) informer.remove(named(index, state));
        else informer.set(named(index, state));
      }
      const kept = informer.store.list().map(({ status }) => status?.state ?? '');
      const expected = states.map((state) => [
        state[0]!.toLowerCase() + state.slice(1),
        kept.filter((other) => other === state).length,
      ]);
      expect(counts.of(server)).toEqual({ users: kept.length, ...Object.fromEntries(expected) });
    }),
  );
});

test('only a change of state is news', () => {
  const counts = new KeyCounts();
  const object = named(1, 'Missing');
  expect(counts.take({ kind: 'added', object })).toEqual([server]);
  expect(counts.take({ kind: 'updated', object, previous: object })).toEqual([]);
  expect(counts.take({ kind: 'updated', object: named(1, 'Configured'), previous: object })).toEqual([server]);
});
