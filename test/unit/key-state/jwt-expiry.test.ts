import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { jwtExpiryMs } from '#operator/key-state/jwt-expiry.ts';
import { verifies } from '#test/requirements.ts';

const header = Buffer.from('{"alg":"RS256"}').toString('base64url');
const jwt = (payload: string) => Buffer.from(`${header}.${Buffer.from(payload).toString('base64url')}.c2ln`);
const secondsMax = 253_402_300_799;

describe('the end that a value has in it', () => {
  test(verifies('expiry:detected-jwt'), () => {
    const claims = fc.dictionary(fc.string(), fc.jsonValue());
    const seconds = fc.integer({ min: 1, max: secondsMax });
    fc.assert(
      fc.property(
        fc.tuple(claims, claims),
        fc.option(seconds, { nil: undefined }),
        fc.constantFrom(0, 2),
        ([before, after], exp, space) => {
          delete before['exp'];
          delete after['exp'];
          const payload = {
            ...before,
            nested: { exp: 5, list: [{ exp: 6 }] },
            ...(exp === undefined ? {} : { exp }),
            ...after,
          };
          const found = jwtExpiryMs(jwt(JSON.stringify(payload, undefined, space)));
          expect(found).toBe(exp === undefined ? undefined : exp * 1_000);
        },
      ),
    );
  });

  test.each([
    ['{"exp":1798761600}', 1_798_761_600_000],
    ['{"exp":1798761600.25}', 1_798_761_600_250],
    ['{"exp" :\n 1798761600 }', 1_798_761_600_000],
    ['{"exp":1.7987616e9}', 1_798_761_600_000],
    [String.raw`{"a":"\",\"exp\":1","exp":1798761600}`, 1_798_761_600_000],
    ['{"exp":"1798761600"}', undefined],
    ['{"exp":-5}', undefined],
    ['{"exp":0}', undefined],
    ['{"exp":null}', undefined],
    ['{"exp":1798761600000}', undefined],
    ['{"exp":1e99}', undefined],
    ['{"exp":1798761600', undefined],
    ['{"exp":11111111111111111111111111111111111111111111}', undefined],
    ['["exp",1798761600]', undefined],
    ['{"sub":"exp","x":1798761600}', undefined],
    ['{"a":{"exp":1798761600}}', undefined],
    ['"exp":1798761600', undefined],
    ['{"exp', undefined],
    ['{"exp\\', undefined],
    ['', undefined],
  ])('%s', (payload, ms) => {
    expect(jwtExpiryMs(jwt(payload))).toBe(ms);
  });

  test('is found behind the scheme that is part of the value', () => {
    expect(jwtExpiryMs(Buffer.concat([Buffer.from('Bearer '), jwt('{"exp":1798761600}')]))).toBe(1_798_761_600_000);
  });

  test('is none where the value is no signed token', () => {
    const signed = jwt('{"exp":1798761600}').toString();
    for (const other of [
      `${signed}.a.b`,
      signed.replace(/\.[^.]*$/u, ''),
      `x${signed}`,
      signed.replace('.', '..'),
      'ghp_a.b.c',
      '..',
      '',
      'eyJ.=.x',
    ]) {
      expect(jwtExpiryMs(Buffer.from(other))).toBeUndefined();
    }
    const long = jwt(`{"pad":"${'a'.repeat(8_192)}","exp":1798761600}`);
    expect(jwtExpiryMs(long)).toBeUndefined();
  });

  test('never stops reading, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(jwtExpiryMs(bytes)).toBeUndefined();
        expect(() =>
          jwtExpiryMs(Buffer.from(`${header}.${Buffer.from(bytes).toString('base64url')}.c2ln`)),
        ).not.toThrow();
      }),
    );
  });
});
