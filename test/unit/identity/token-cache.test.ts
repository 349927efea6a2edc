import { describe, expect, test } from 'vitest';

import { TokenCache, tokenKey } from '#operator/identity/token-cache.ts';

function cacheAt(clock: { nowMs: number }, entriesMax = 3): TokenCache<string> {
  return new TokenCache({ entriesMax, ttlMs: 10_000, monotonicMs: () => clock.nowMs });
}

describe('the token cache', () => {
  test('forgets an entry when its time is over, however often it was read', () => {
    const clock = { nowMs: 0 };
    const cache = cacheAt(clock);
    cache.set('a', '1');
    clock.nowMs = 9_999;
    expect(cache.get('a')).toBe('1');
    clock.nowMs = 10_000;
    expect(cache.get('a')).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  test('keeps no more than its bound and forgets what was unused for longest', () => {
    const cache = cacheAt({ nowMs: 0 });
    for (const key of ['a', 'b', 'c']) cache.set(key, key);
    cache.get('a');
    cache.set('d', 'd');
    expect([cache.get('a'), cache.get('b'), cache.get('c'), cache.get('d')]).toEqual(['a', undefined, 'c', 'd']);
  });

  test('asks once for callers that come at the same time', async () => {
    let asked = 0;
    const cache = cacheAt({ nowMs: 0 });
    const load = async (): Promise<string> => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
      return 'answer';
    };
    expect(await Promise.all([1, 2, 3].map(() => cache.getOrLoad('a', load)))).toEqual(['answer', 'answer', 'answer']);
    expect(asked).toBe(1);
  });

  test('does not keep a failure', async () => {
    const cache = cacheAt({ nowMs: 0 });
    await expect(cache.getOrLoad('a', () => Promise.reject(new Error('down')))).rejects.toThrow('down');
    await expect(cache.getOrLoad('a', () => Promise.resolve('up'))).resolves.toBe('up');
  });

  test('makes different keys of one token for different purposes, and none that shows the token', () => {
    const keys = [tokenKey('t'), tokenKey('t', ['a']), tokenKey('t', ['a', 'b']), tokenKey('t', ['a","b'])];
    expect(new Set(keys).size).toBe(4);
    expect(tokenKey('visible-token')).not.toContain('visible-token');
  });
});
