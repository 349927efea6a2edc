import { expect, test } from 'vitest';

import { absenceData, describeAbsence, isCuredByKey, sharedRejection } from '#sidecar/ladder/absence-text.ts';
import type { KeyAbsence } from '#sidecar/proxy/exchange.ts';

const at = { title: 'GitHub', url: undefined };

test('users of a shared key are told to ask their administrator, and are led to no page for a key of their own', () => {
  const rejected = sharedRejection('subject');
  expect(isCuredByKey(rejected)).toBe(false);
  expect(describeAbsence(rejected, at)).toBe(
    'The key that the users of GitHub share was rejected.\nAsk your administrator for a new one.',
  );
  const message = 'Ask.';
  const missing: KeyAbsence = { decision: 'missing', hints: [], message, keySource: 'shared' };
  expect(isCuredByKey(missing)).toBe(false);
  expect(describeAbsence(missing, at)).toBe(
    'GitHub is used with a key that its users share, and there is none for you.\nAsk.',
  );
  expect(absenceData(missing, undefined)).toEqual({ reason: 'missing', headers: [] });
  const own: KeyAbsence = { decision: 'missing', hints: [], message };
  expect(isCuredByKey(own)).toBe(true);
  expect(describeAbsence(own, at)).toContain('needs your own key');
});
