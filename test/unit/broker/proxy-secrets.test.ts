import { expect, test } from 'vitest';

import { forPlace } from '#operator/broker/proxy-secrets.ts';
import { verifies } from '#test/requirements.ts';

const keyPage = { url: 'https://keys.example/', stateKey: 'a'.repeat(43) };
const sessionKey = 'b'.repeat(43);
const extras = { issuers: [], keyPage, sessionKey };

test.each([
  ['server', false, ['issuers', 'keyPage', 'sessionKey']],
  ['server', true, ['issuers']],
  ['gateway', false, ['issuers']],
  ['gateway', true, ['issuers', 'keyPage', 'sessionKey']],
  ['agent', false, ['issuers']],
  ['agent', true, ['issuers', 'keyPage']],
] as const)(`${verifies('policy:secrets-by-role')}: %s, remote %s`, (role, isRemote, fields) => {
  expect(Object.keys(forPlace(extras, { role, isRemote }))).toEqual(fields);
});
