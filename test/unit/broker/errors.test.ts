import { expect, test } from 'vitest';

import { BrokerError, errorFacts, rescue, type BrokerErrorCode } from '#operator/broker/errors.ts';

test.each(Object.keys(errorFacts) as BrokerErrorCode[])('%s is answered with its status and its sentence', (code) => {
  const { status, body } = rescue(new BrokerError(code, { cause: new Error('inner detail') }));
  expect(status).toBe(errorFacts[code].status);
  expect(body).toEqual({ error: { code, message: errorFacts[code].message } });
  expect(status).toBeGreaterThanOrEqual(400);
});

test.each([new Error('secret-value'), 'secret-value', undefined, { code: 'ERR_POD_FORBIDDEN' }])(
  'whatever else is thrown is an internal error that says nothing',
  (thrown) => {
    expect(rescue(thrown)).toEqual({
      code: 'ERR_INTERNAL',
      status: 500,
      body: { error: { code: 'ERR_INTERNAL', message: 'Internal error' } },
    });
  },
);
