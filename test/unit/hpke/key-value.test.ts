import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { checkKeyValue, fieldValueBytesMax, type KeyFormat } from '#cli/contract/key-value.ts';
import { headerValueBytesMax } from '#contract/headers.ts';

const bearer: KeyFormat = { template: 'Bearer {value}' };
const github: KeyFormat = { ...bearer, prefixes: ['ghp_', 'github_pat_'] };
const plain: KeyFormat = { template: '{value}' };

const check = (typed: string, format: KeyFormat) => checkKeyValue(Buffer.from(typed, 'latin1'), format);
const valid = (value: string, notices: readonly string[] = []) => ({
  kind: 'valid',
  value: Buffer.from(value),
  notices,
});
const invalid = (problem: string) => ({
  kind: 'invalid',
  problem,
  message: expect.stringMatching(/^Invalid API key format: [a-z]/) as string,
});

describe('a typed key', () => {
  test.each(['ghp_x', '  ghp_x', 'ghp_x\n', '\r\n\tghp_x \r\n'])(
    'loses blanks and line breaks at its ends',
    (typed) => {
      expect(check(typed, github)).toEqual(valid('ghp_x'));
    },
  );

  test.each(['', ' ', '\n', '\r\n'])('may not be empty', (typed) => {
    expect(check(typed, plain)).toEqual(invalid('Empty'));
  });

  test('may not have a line break inside: that would be another header', () => {
    expect(check('ghp_x\r\nX-Admin: true', github)).toEqual(invalid('LineBreakInside'));
    expect(check('ghp_x\nghp_y', plain)).toEqual(invalid('LineBreakInside'));
  });

  test.each(['a\0b', 'a\tb', 'a\x7fb', 'a\x80b', 'caf\xe9', '\xef\xbb\xbfghp_x'])(
    'may not have a character outside visible ASCII',
    (typed) => {
      expect(check(typed, plain)).toEqual(invalid('NotVisibleAscii'));
    },
  );

  test('may have blanks inside only where it is the whole field value', () => {
    expect(check('Token token=abc', plain)).toEqual(valid('Token token=abc'));
    expect(check('Basic abc', bearer)).toEqual(invalid('SpaceInside'));
  });

  test.each(['"ghp_x"', "'ghp_x'", '`ghp_x`', ' "ghp_x"\n', 'Bearer "ghp_x"'])(
    'may not be in quotes: nothing but the key is to be pasted (%j)',
    (typed) => {
      expect(check(typed, github)).toEqual(invalid('Quoted'));
      expect(check(typed, bearer)).toMatchObject({ message: expect.stringContaining('paste only the key') as string });
    },
  );

  test.each(['a"b"', '"', "it's", '"a'])('may have a quote that does not pair up: %j', (typed) => {
    expect(check(typed, plain)).toEqual(valid(typed));
  });

  test('may not have the name of the header before it', () => {
    const key = { ...plain, name: 'X-Api-Key' };
    expect(check('Authorization: Bearer ghp_x', bearer)).toEqual(invalid('NameIncluded'));
    expect(check('authorization:ghp_x', plain)).toEqual(invalid('NameIncluded'));
    expect(check('Bearer Authorization: ghp_x', bearer)).toEqual(invalid('NameIncluded'));
    expect(check('x-api-key: k1', key)).toMatchObject({
      problem: 'NameIncluded',
      message: 'Invalid API key format: it begins with "X-Api-Key:"; paste only the key itself',
    });
    expect(check('x-api-key-1', key)).toEqual(valid('x-api-key-1'));
  });

  test('may be as long as the field value, template applied', () => {
    const room = fieldValueBytesMax - 'Bearer '.length;
    expect(check('a'.repeat(room), bearer)).toMatchObject({ kind: 'valid' });
    expect(check('a'.repeat(room + 1), bearer)).toEqual(invalid('TooLong'));
    expect(fieldValueBytesMax).toBe(headerValueBytesMax);
  });
});

describe('what the template adds already', () => {
  const notice = ['"Bearer" was left out: the server\'s template adds it.'];

  test.each(['Bearer ghp_x', 'bearer ghp_x', 'BEARER   ghp_x', ' Bearer ghp_x\n'])(
    'is left out with a notice',
    (typed) => {
      expect(check(typed, github)).toEqual(valid('ghp_x', notice));
      expect(check(typed, bearer)).toEqual(valid('ghp_x', notice));
    },
  );

  test.each(['bearer-token', 'Bearerghp_x'])('is not seen where no blank follows', (typed) => {
    expect(check(typed, bearer)).toEqual(valid(typed.trim()));
  });

  test('is refused when it comes twice', () => {
    expect(check('Bearer Bearer ghp_x', github)).toEqual(invalid('PrefixDoubled'));
  });

  test.each(['Bearer', ' bearer '])('is refused when nothing follows it', (typed) => {
    expect(check(typed, bearer)).toEqual(invalid('PrefixDoubled'));
  });

  test('is refused when it might be part of the key', () => {
    expect(check('key-abc', { template: 'key-{value}' })).toEqual(invalid('PrefixDoubled'));
    expect(check('key-key-abc', { template: 'key-{value}' })).toEqual(invalid('PrefixDoubled'));
  });

  test('is decided by the declared prefixes where only one reading fits', () => {
    expect(check('key-abc', { template: 'key-{value}', prefixes: ['key-'] })).toEqual(valid('key-abc'));
    expect(check('key-abc', { template: 'key-{value}', prefixes: ['ab'] })).toMatchObject(
      valid('abc', [expect.any(String) as string]),
    );
    expect(check('key-abc', { template: 'key-{value}', prefixes: ['ab', 'key-'] })).toEqual(invalid('PrefixDoubled'));
  });
});

describe('declared prefixes', () => {
  test('are named to the user, or the administrator has a sentence of their own', () => {
    expect(check('gho_x', github)).toMatchObject({
      problem: 'PrefixMissing',
      message: 'Invalid API key format: it should begin with ghp_ or github_pat_; check which key you copied',
    });
    expect(check('gho_x', { ...github, message: 'make a classic token' })).toMatchObject({
      message: 'Invalid API key format: make a classic token',
    });
  });

  test('are compared with upper and lower case', () => {
    expect(check('GHP_x', github)).toEqual(invalid('PrefixMissing'));
  });
});

describe('whatever is typed', () => {
  test('no message shows it, and what is valid is a field value without line breaks', () => {
    const typed = fc.string({ minLength: 12, maxLength: 60, unit: 'binary-ascii' });
    fc.assert(
      fc.property(typed, fc.constantFrom(plain, bearer, github, { template: 'k={value};' }), (text, format) => {
        const result = check(text, format);
        const said = result.kind === 'valid' ? result.notices.join('\n') : result.message;
        expect(said).not.toContain(text.trim() === '' ? '\0' : text.trim());
        const value = result.kind === 'valid' ? result.value.toString('latin1') : 'x';
        expect(value).toMatch(/^[!-~]([ -~]*[!-~])?$/);
      }),
    );
  });

  test('the value is a view: nothing of it is copied', () => {
    const typed = Buffer.from(' Bearer ghp_x ');
    const result = checkKeyValue(typed, bearer);
    typed.fill('z');
    expect(result).toMatchObject({ kind: 'valid', value: Buffer.from('zzzzz') });
  });
});
