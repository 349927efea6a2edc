import { expect, test } from 'vitest';

import { eventsOf } from '#operator/controllers/events.ts';
import type { Condition } from '#operator/kube/resources.ts';

function condition(text: string): Condition {
  const [type = '', status = '', reason = ''] = text.split(/[=/]/);
  return {
    type,
    status: status as Condition['status'],
    reason,
    message: 'm',
    lastTransitionTime: '2026-03-01T10:00:00Z',
  };
}

test.each<[string, string | undefined, string, readonly string[]]>([
  ['good news at birth is no news', undefined, 'Ready=True/Serving', []],
  ['bad news at birth is', undefined, 'Ready=False/NamespaceHasNoOrganization', ['Warning NamespaceHasNoOrganization']],
  ['good news after bad is', 'Ready=False/NoPods', 'Ready=True/Serving', ['Normal Serving']],
  ['what stays is not', 'Ready=False/NoPods', 'Ready=False/NoPods', []],
  ['another reason is', 'Ready=False/NoPods', 'Ready=False/NamespacesConflict', ['Warning NamespacesConflict']],
  ['a new server without pods is ordinary', undefined, 'Ready=False/NoPods', []],
  ['a server without a policy is ordinary', undefined, 'PolicyBound=False/NoPolicy', []],
  ['losing every pod is told, not warned of', 'Ready=True/Serving', 'Ready=False/NoPods', ['Normal NoPods']],
  ['not knowing is not', 'Ready=True/Serving', 'Ready=Unknown/CheckingIssuers', []],
  ['progress is not', undefined, 'Reconciling=True/Applying', []],
  ['an abnormal condition is bad when true', undefined, 'Stalled=True/NameMismatch', ['Warning NameMismatch']],
  [
    'and good when false',
    'NamespacesConflict=True/SelectedByAnother',
    'NamespacesConflict=False/NoConflict',
    ['Normal NoConflict'],
  ],
])('%s', (...[, before, after, expected]) => {
  const events = eventsOf(before === undefined ? undefined : [condition(before)], [condition(after)]);
  expect(events.map(({ type, reason }) => `${type} ${reason}`)).toEqual(expected);
});
