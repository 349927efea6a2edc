import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readKeyEnd } from '#cli/contract/expiry-text.ts';
import { parseOptions } from '#cli/options.ts';

const at = (text: string) => ({ kind: 'at', at: text });

describe('the end of a key, as its user writes it', () => {
  test.each([
    ['2027-01-31', at('2027-01-31T00:00:00.000Z')],
    ['2028-02-29', at('2028-02-29T00:00:00.000Z')],
    ['2027-01-31T09:00:00+01:00', at('2027-01-31T08:00:00.000Z')],
    ['2027-01-31T09:00Z', at('2027-01-31T09:00:00.000Z')],
    ['2027-01-31t09:00:00.5z', at('2027-01-31T09:00:00.500Z')],
    ['2027-01-31 09:00:00Z', at('2027-01-31T09:00:00.000Z')],
    ['9999-12-31T23:59:59.999999999Z', at('9999-12-31T23:59:59.999Z')],
    ['30d', { kind: 'after', seconds: 2_592_000 }],
    ['12h', { kind: 'after', seconds: 43_200 }],
  ])('%s', (text, end) => {
    expect(readKeyEnd(text)).toEqual(end);
    expect(parseOptions(['set', 'notes', '--expires', text]).command).toMatchObject({ name: 'set', end });
  });

  test.each([
    '2027-02-30',
    '2027-13-01',
    '2027-1-31',
    '10000-01-01',
    '+010000-01-01',
    '2027-01-31T24:00:00Z',
    '2027-01-31T09:60Z',
    '2027-01-31T09:00:60Z',
    '2027-01-31T09:00:00',
    '2027-01-31T09:00:00+25:00',
    '9999-12-31T23:59:59-01:00',
    '0d',
    '-1d',
    '1w',
    '1000000d',
    'tomorrow',
    '',
    '1798761600',
  ])('cannot be %j', (text) => {
    expect(readKeyEnd(text)).toBeUndefined();
    expect(() => parseOptions(['set', 'notes', `--expires=${text}`])).toThrow(/--expires/u);
  });

  test('is an instant that comes back as it went, whatever the zone', () => {
    const zone = fc.constantFrom('Z', '+00:00', '-00:00', '+14:00', '-12:30');
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1971-01-01'), max: new Date('9998-12-31'), noInvalidDate: true }),
        zone,
        (date, offset) => {
          const local = date.toISOString().slice(0, -1);
          expect(readKeyEnd(`${local}${offset}`)).toEqual(at(new Date(`${local}${offset}`).toISOString()));
        },
      ),
    );
  });
});
