import { expect, test } from 'vitest';

import type { LabelSelector } from '#operator/kube/resources.ts';
import { selects } from '#operator/tenancy/label-selector.ts';

const labels = { env: 'prod', team: 'a' };
const one = (key: string, operator: string, values?: string[]): LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] as never,
});

test.each<[string, LabelSelector | undefined, boolean]>([
  ['no selector selects nothing', undefined, false],
  ['an empty selector selects everything', {}, true],
  ['all labels match', { matchLabels: { env: 'prod', team: 'a' } }, true],
  ['one label differs', { matchLabels: { env: 'prod', team: 'b' } }, false],
  ['In with the value', one('env', 'In', ['dev', 'prod']), true],
  ['In without the value', one('env', 'In', ['dev']), false],
  ['In on an absent label', one('zone', 'In', ['dev']), false],
  ['NotIn with the value', one('env', 'NotIn', ['prod']), false],
  ['NotIn on an absent label', one('zone', 'NotIn', ['x']), true],
  ['Exists', one('env', 'Exists'), true],
  ['Exists on an absent label', one('zone', 'Exists'), false],
  ['DoesNotExist', one('zone', 'DoesNotExist'), true],
  ['DoesNotExist on a label', one('env', 'DoesNotExist'), false],
  ['an unknown operator selects nothing', one('env', 'Near', ['prod']), false],
  ['labels and expressions must both match', { matchLabels: { env: 'prod' }, ...one('team', 'In', ['b']) }, false],
])('%s', (_name, selector, expected) => {
  expect(selects(selector, labels)).toBe(expected);
});

test('an object without labels is selected by an empty selector only', () => {
  expect(selects({}, undefined)).toBe(true);
  expect(selects({ matchLabels: { env: 'prod' } }, undefined)).toBe(false);
});
