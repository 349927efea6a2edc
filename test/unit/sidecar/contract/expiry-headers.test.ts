import { describe, expect, test } from 'vitest';

import { expiryIn } from '#contract/expiry-headers.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const github = 'github-authentication-token-expiration';
const sonarqube = 'SonarQube-Authentication-Token-Expiration';

describe('what an upstream says of the end of a token', () => {
  test.each([
    [github, '2027-01-31 09:00:00 UTC', '2027-01-31T09:00:00.000Z'],
    [github, '2027-01-31 09:00:00 +0100', '2027-01-31T08:00:00.000Z'],
    [github, '2027-01-31 09:00:00 -0700', '2027-01-31T16:00:00.000Z'],
    ['GitHub-Authentication-Token-Expiration', '2027-01-31 09:00:00 UTC', '2027-01-31T09:00:00.000Z'],
    [sonarqube, '2027-01-31T09:00:00+0000', '2027-01-31T09:00:00.000Z'],
    [sonarqube, '2027-01-31T09:00:00+01:00', '2027-01-31T08:00:00.000Z'],
    [sonarqube, '2027-01-31T09:00:00Z', '2027-01-31T09:00:00.000Z'],
  ])('is read from %s: %s', (name, value, instant) => {
    expect(expiryIn(new Fields({ 'content-type': 'text/plain', [name]: value }))).toBe(instant);
  });

  test.each([
    '',
    'never',
    '2027-01-31',
    '2027-13-31 09:00:00 UTC',
    '2027-01-31 25:00:00 UTC',
    '2027-01-31 09:00:00 PST',
    '2027-01-31 09:00:00 +9900',
    '9999-12-31 23:59:59 -0100',
    '2027-01-31 09:00:00 UTC, 2028-01-31 09:00:00 UTC',
    `2027-01-31 09:00:00 ${' '.repeat(100_000)}UTC`,
    '1801386000',
  ])('is nothing when it is %j', (value) => {
    expect(expiryIn({ get: (name) => (name === github ? value : null) })).toBeUndefined();
  });

  test('is in no other header', () => {
    const others = { expires: 'Wed, 21 Oct 2027 07:28:00 GMT', 'x-expires-at': '2027-01-31 09:00:00 UTC' };
    expect(expiryIn(new Fields(others))).toBeUndefined();
  });
});
