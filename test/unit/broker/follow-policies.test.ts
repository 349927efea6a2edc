import { expect, test } from 'vitest';

import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { followSources } from '#operator/broker/follow-sources.ts';
import { brokerWorld, github, policyOf } from '#test/support/broker-world.ts';

test('leases of a namespace end when a policy there begins, changes or stops to say what only leases say', () => {
  const { sources, referencedSecrets, keyStore } = brokerWorld();
  const ended: boolean[] = [];
  const nothing = (): void => undefined;
  followSources({
    sources,
    referencedSecrets,
    keyStore,
    hub: {
      invalidate: nothing,
      refresh: nothing,
      endPod: nothing,
      invalidateAll: (concerns) => ended.push(concerns(github), concerns({ ...github, namespace: 'team-b' })),
    },
  });
  ended.length = 0;
  let generation = 0;
  const write = (spec: Omit<UserKeyPolicy['spec'], 'servers'>): readonly boolean[] => {
    const { metadata, ...written } = policyOf('age', spec);
    generation += 1;
    sources.userKeyPolicies.put({ ...written, metadata: { ...metadata, generation } });
    return ended.splice(0);
  };
  expect(write({ keys: { optional: ['A'] } })).toEqual([]);
  expect(write({ expiry: { maxAge: '30d' } })).toEqual([true, false]);
  expect(write({ expiry: { maxAge: '1d' } })).toEqual([true, false]);
  expect(write({})).toEqual([true, false]);
  expect(write({ subjects: { users: ['a'] } })).toEqual([true, false]);
  expect(write({ subjects: { users: ['a'] }, tools: { deny: ['b'] } })).toEqual([true, false]);
  expect(write({ approval: { required: true } })).toEqual([true, false]);
  expect(write({})).toEqual([true, false]);
  expect(write({ keys: { required: ['A'] } })).toEqual([]);
});
