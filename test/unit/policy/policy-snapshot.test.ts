import { expect, test } from 'vitest';

import { policySnapshot } from '#operator/broker/policy-snapshot.ts';

import { server } from '../controllers/fixtures.ts';

test('says which transport a server speaks where it is the old one', () => {
  const old = server();
  const snapshot = policySnapshot({ ...old, spec: { ...old.spec, transport: 'SSE' } }, []);
  expect(snapshot.transport).toBe('SSE');
  expect(policySnapshot(old, [])).not.toHaveProperty('transport');
});
