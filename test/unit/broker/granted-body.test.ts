import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { parseLeaseResponse } from '#contract/parse.ts';
import { encodeGranted } from '#operator/broker/granted-body.ts';
import { isFieldValue, splitTemplate } from '#operator/broker/header-bytes.ts';
import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { alice } from '#test/support/broker-world.ts';

const terms = {
  decision: 'granted',
  leaseId: 'lease-1',
  subject: alice,
  subjectKey: 'abcdefghijklmnop',
  keyVersion: 3,
  ttlMs: 30_000,
} as const;

function header(name: string, template: string, value: string) {
  return { name, template: splitTemplate(template)!, value: SecretBytes.takeFrom(Buffer.from(value)) };
}

function read(body: ReturnType<typeof encodeGranted>): unknown {
  return JSON.parse(Buffer.concat([body.open, body.secret.bytes]).toString('utf8'));
}

describe('the body of a granted lease', () => {
  test('keeps to the contract, templates applied', () => {
    using body = encodeGranted(terms, [
      header('Authorization', 'Bearer {value}', 'ghp_abc'),
      header('X-Client-ID', '{value}', '42'),
    ]);
    expect(parseLeaseResponse(read(body))).toEqual({
      ...terms,
      headers: [
        { name: 'Authorization', value: 'Bearer ghp_abc', key: { start: 7, end: 14 } },
        { name: 'X-Client-ID', value: '42', key: { start: 0, end: 2 } },
      ],
    });
  });

  test('holds no header when there is none to hand out', () => {
    using body = encodeGranted(terms, []);
    expect(read(body)).toEqual({ ...terms, headers: [] });
  });

  test('has nothing of a value in the part that is not zeroed', () => {
    using body = encodeGranted(terms, [header('Authorization', 'Bearer {value}', 'ghp_abc')]);
    expect(body.open.toString()).not.toContain('ghp_abc');
    const view = body.secret.bytes;
    body[Symbol.dispose]();
    expect(view.every((byte) => byte === 0)).toBe(true);
  });

  test('gives back every value byte for byte, whatever quotes and backslashes it and its template have', () => {
    const visible = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)) });
    fc.assert(
      fc.property(
        visible,
        visible,
        fc.array(
          visible.filter((text) => text !== ''),
          { maxLength: 4 },
        ),
        (a, b, values) => {
          fc.pre(!`${a}${b}`.includes('{value}'));
          using body = encodeGranted(
            terms,
            values.map((value, index) => header(`X-${index}`, `${a}{value}${b}`, value)),
          );
          const { headers } = read(body) as { headers: { value: string; key: { start: number; end: number } }[] };
          expect(headers.map(({ value }) => value)).toEqual(values.map((value) => `${a}${value}${b}`));
          expect(headers.map(({ value, key }) => value.slice(key.start, key.end))).toEqual(values);
        },
      ),
    );
  });
});

describe('what may become a field value', () => {
  const plain = splitTemplate('Bearer {value}')!;
  const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

  test('visible ASCII with spaces', () => {
    expect(isFieldValue(plain, bytes('ghp_ABC 123 ~!"\\'))).toBe(true);
  });

  test.each([
    ['nothing', ''],
    ['a line end, which would begin another header', 'key\r\nX-Admin: true'],
    ['a bare line feed', 'key\n'],
    ['a zero byte', 'key\0'],
    ['a tab', 'key\tkey'],
    ['a delete character', 'key\x7f'],
    ['a byte that is not ASCII', 'key\xe9'],
    ['more than a header may have', 'x'.repeat(8_192)],
  ])('not %s', (_, text) => {
    expect(isFieldValue(plain, bytes(text))).toBe(false);
  });

  test('not with a template that has a line end', () => {
    expect(isFieldValue(splitTemplate('Bearer {value}\r\nX: y')!, bytes('key'))).toBe(false);
  });

  test.each(['Bearer', '{value}{value}', '', '{VALUE}'])(
    'not with a template that does not have one place: %o',
    (text) => {
      expect(splitTemplate(text)).toBeUndefined();
    },
  );
});
