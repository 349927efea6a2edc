import { expect, test } from 'vitest';

import { ladderLimits } from '#sidecar/ladder/limits.ts';
import { HoldingPlaces } from '#sidecar/ladder/places.ts';

test('nobody takes all places for retries that wait, and each is given back', () => {
  const places = new HoldingPlaces({ ...ladderLimits, heldMax: 3, heldPerUserMax: 2, heldBytesMax: 100 });
  const first = places.take('alice', 10);
  const second = places.take('alice', 10);
  expect(places.take('alice', 10)).toBeUndefined();
  expect(places.take('bob', 81)).toBeUndefined();
  const third = places.take('bob', 80);
  expect(places.take('carol', 0)).toBeUndefined();
  for (const place of [first, second, third]) place![Symbol.dispose]();
  expect(places.held).toBe(0);
  expect(places.take('carol', 100)).toBeDefined();
});
