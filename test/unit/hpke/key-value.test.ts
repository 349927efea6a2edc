import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { checkKeyValue, fieldValueBytesMax, type KeyFormat } from '#cli/contract/key-value.ts';
import { headerValueBytesMax } from '#contract/headers.ts';
import { verifies } from '#test/requirements.ts';

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
      expect(check(typed, bearer)).toEqual(invalid('Quoted'));
      expect(check(typed, bearer)).toMatchObject({ message: expect.stringContaining('paste only the key') as string });
    },
  );

  test.each(['"ghp_x"', "'ghp_x'", '`Bearer ghp_x`', 'Bearer "ghp_x"', "' ghp_x '\n"])(
    'may be in quotes where the declared rules show that they are none of it (%j)',
    (typed) => {
      expect(check(typed, github)).toMatchObject({
        kind: 'valid',
        value: Buffer.from('ghp_x'),
        notices: expect.arrayContaining(['The quotes around it were left out.']) as string[],
      });
    },
  );

  test.each(['"gho_x"', '""ghp_x""', '"ghp_x', '\'"ghp_x"\''])(
    'may not be in quotes that leave another value (%j)',
    (typed) => {
      expect(check(typed, github)).toMatchObject({ kind: 'invalid' });
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
    expect(check('Authorization: k1', key)).toMatchObject({
      problem: 'NameIncluded',
      message: 'Invalid API key format: it begins with "Authorization:"; paste only the key itself',
    });
    expect(check('x-api-key: x-api-key: k1', key)).toEqual(invalid('NameIncluded'));
    expect(check('x-api-key-1', key)).toEqual(valid('x-api-key-1'));
  });

  test('is what is left of the whole field, where its name and template are as declared', () => {
    const field = { ...bearer, name: 'Authorization' };
    expect(check(' Authorization: Bearer ghp_x\r\n', field)).toEqual(
      valid('ghp_x', ['"Authorization:" was left out.', '"Bearer" was left out: the server\'s template adds it.']),
    );
    expect(check('authorization:token xyz', { template: 'token {value}', name: 'Authorization' })).toMatchObject(
      valid('xyz', [expect.any(String) as string, expect.any(String) as string]),
    );
    expect(check('x-api-key: k1', { ...plain, name: 'X-Api-Key' })).toEqual(
      valid('k1', ['"X-Api-Key:" was left out.']),
    );
    expect(check('Authorization: ghp_x', field)).toEqual(invalid('NameIncluded'));
    expect(check('Authorization: Basic ghp_x', field)).toEqual(invalid('NameIncluded'));
    expect(check('Authorization:', { ...plain, name: 'Authorization' })).toEqual(invalid('Empty'));
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

describe('declared rules', () => {
  const strict: KeyFormat = { ...bearer, pattern: 'ghp_[A-Za-z0-9]{6}', minLength: 10, maxLength: 12 };

  test('a pattern is about the whole value', () => {
    expect(check('ghp_abcDEF', strict)).toEqual(valid('ghp_abcDEF'));
    expect(check('Bearer ghp_abcDEF', strict)).toMatchObject({ kind: 'valid', value: Buffer.from('ghp_abcDEF') });
    expect(check('ghp_abcDE-', strict)).toEqual(invalid('PatternMismatch'));
    expect(check('ghp_abcDEFg', strict)).toEqual(invalid('PatternMismatch'));
    expect(check('xghp_abcDEF', strict)).toEqual(invalid('PatternMismatch'));
    expect(check('ab', { ...plain, pattern: 'a|ab' })).toEqual(valid('ab'));
    expect(check('ab c', { ...plain, pattern: '(?i)AB C' })).toEqual(valid('ab c'));
  });

  test('a length is named without that of the value', () => {
    expect(check('ghp_abcDE', strict)).toMatchObject({
      problem: 'TooShort',
      message: 'Invalid API key format: it has fewer than 10 characters; check that you copied all of it',
    });
    expect(check('ghp_abcDEFghi', strict)).toMatchObject({
      problem: 'TooLong',
      message: 'Invalid API key format: it has more than 12 characters; check that you copied only the key',
    });
  });

  test('a pattern is named, with the example, or the administrator says it in their own words', () => {
    const like = { ...bearer, pattern: 'k-\\d+', example: 'k-123' };
    expect(check('k-x', like)).toMatchObject({
      message: 'Invalid API key format: it should be of the form k-\\d+ such as k-123; check which key you copied',
    });
    const own = { ...like, message: 'make a classic token', minLength: 4, maxLength: 6 };
    for (const typed of ['k-x', 'k-xyz', 'k-12345']) {
      expect(check(typed, own)).toMatchObject({ message: 'Invalid API key format: make a classic token' });
    }
  });

  test.each([
    '(',
    '(?=a)a',
    '(a)\\1',
    '(?:[a-z]{1000}){3}',
    '((a{31}){31}){4}b{900}',
    `(${'abcdefghij'.repeat(24)}){1000}`,
  ])('no value fits a pattern that cannot be used: %s', (pattern) => {
    expect(check('a', { ...plain, pattern })).toEqual(invalid('PatternUnusable'));
  });
});

describe('hostile patterns and values', () => {
  const longest = `${'a'.repeat(fieldValueBytesMax - 1)}!`;

  test.each(['(a+)+', '(a|a)*', '(a|aa)+', '(.*)*b', '(a?){400}a{400}', '(.{1,40}a){1,11}', '.*a.{900}', '((a*)*)*$'])(
    'of %s and the longest value the answer is there at once',
    (pattern) => {
      const startedAtMs = performance.now();
      expect(check(longest, { ...plain, pattern })).toMatchObject({ kind: expect.any(String) as string });
      expect(performance.now() - startedAtMs).toBeLessThan(1_000);
    },
  );

  test(verifies('format:says-no-value'), () => {
    const secret = fc.string({
      minLength: 6,
      maxLength: 40,
      unit: fc.constantFrom('Q', 'Z', 'X', 'J', 'q', 'z', '0', '7', '9'),
    });
    const dress = fc.constantFrom(
      (value: string) => value,
      (value: string) => `Bearer ${value}`,
      (value: string) => `"${value}"`,
      (value: string) => `Authorization: Bearer ${value}`,
      (value: string) => `Authorization: ${value} ${value}`,
      (value: string) => `ghp_${value}\n${value}`,
      (value: string) => `'Bearer "${value}"'`,
    );
    const rules = fc.record(
      {
        prefixes: fc.constantFrom([], ['ghp_'], ['sk-', 'pk-']),
        pattern: fc.constantFrom('ghp_.+', '[a-f]+', '(', '(?:.{1000}){9}'),
        minLength: fc.constantFrom(1, 60),
        maxLength: fc.constantFrom(3, 8_192),
        example: fc.constant('ghp_made-up'),
        message: fc.constant('make a classic token'),
      },
      { requiredKeys: [] },
    );
    const templates = fc.constantFrom('{value}', 'Bearer {value}', 'token={value}');
    fc.assert(
      fc.property(secret, dress, fc.tuple(rules, templates), (value, dressed, [given, template]) => {
        const result = check(dressed(value), { ...given, template, name: 'Authorization' });
        const said = result.kind === 'valid' ? result.notices.join('\n') : result.message;
        for (let at = 0; at + 4 <= value.length; at += 1) expect(said).not.toContain(value.slice(at, at + 4));
      }),
      { numRuns: 2_000 },
    );
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
