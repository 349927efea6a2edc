import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { accessTokenHash, newAccessToken, readAccessToken } from '#cli/contract/access-token.ts';

describe('an access token', () => {
  test('is new each time, and has the form that scanners look for', () => {
    const tokens = Array.from({ length: 100 }, newAccessToken);
    expect(new Set(tokens).size).toBe(100);
    for (const token of tokens) {
      expect(token).toMatch(/^mkt_[A-Za-z0-9_-]{43}[0-9a-f]{8}$/u);
      expect(readAccessToken(token)).toBe('accessToken');
    }
  });

  test('is told from a mistyped one, whatever single character is wrong or left out', () => {
    const token = newAccessToken();
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: token.length - 1 }),
        fc.constantFrom('A', 'a', '0', '_', '-', 'z'),
        (at, other) => {
          fc.pre(token[at] !== other);
          expect(readAccessToken(token.slice(0, at) + other + token.slice(at + 1))).toBe('mistyped');
          expect(readAccessToken(token.slice(0, at) + token.slice(at + 1))).toBe('mistyped');
        },
      ),
    );
  });

  test.each(['', 'mkt', 'eyJhbGciOiJub25lIn0.e30.', 'MKT_x', ' mkt_x', 'mkp_x'])('is nothing else: %o', (text) => {
    expect(readAccessToken(text)).toBe('somethingElse');
  });

  test('is not to be found in its hash', () => {
    const token = newAccessToken();
    expect(accessTokenHash(token)).toMatch(/^[A-Za-z0-9_-]{43}$/u);
    expect(accessTokenHash(token)).not.toContain(token.slice(4, 12));
  });
});
