import { describe, expect, test } from 'vitest';

import { CountWindow, DistinctWindow } from '#operator/broker/windows.ts';

function options(clock: { nowMs: number }) {
  return { windowMs: 60_000, countMax: 3, keysMax: 2, monotonicMs: () => clock.nowMs };
}

describe('counting different values', () => {
  test('refuses a new value beyond the bound, and none that is known', () => {
    const window = new DistinctWindow(options({ nowMs: 0 }));
    expect(['a', 'b', 'c', 'd', 'a', 'e'].map((value) => window.admit('pod', value))).toEqual([
      true,
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(window.isFull('pod')).toBe(true);
  });

  test('begins anew after the window, and not before', () => {
    const clock = { nowMs: 0 };
    const window = new DistinctWindow(options(clock));
    for (const value of ['a', 'b', 'c']) window.admit('pod', value);
    clock.nowMs = 59_999;
    expect(window.admit('pod', 'd')).toBe(false);
    clock.nowMs = 60_000;
    expect(window.admit('pod', 'd')).toBe(true);
    expect(window.isFull('pod')).toBe(false);
  });

  test('keeps keys apart', () => {
    const window = new DistinctWindow(options({ nowMs: 0 }));
    for (const value of ['a', 'b', 'c']) window.admit('pod-1', value);
    expect(window.admit('pod-2', 'd')).toBe(true);
  });

  test('tracks no more keys than its bound', () => {
    const window = new DistinctWindow(options({ nowMs: 0 }));
    for (const value of ['a', 'b', 'c']) window.admit('pod-1', value);
    window.admit('pod-2', 'a');
    window.admit('pod-3', 'a');
    expect(window.isFull('pod-1')).toBe(false);
  });
});

test('counting takes counts each time, per window and key', () => {
  const clock = { nowMs: 0 };
  const window = new CountWindow(options(clock));
  expect([1, 2, 3, 4].map(() => window.take('a'))).toEqual([true, true, true, false]);
  expect(window.take('b')).toBe(true);
  clock.nowMs = 60_000;
  expect(window.take('a')).toBe(true);
});
