import type { UserKeyControl, UserKeyOperation } from '#cli/contract/request-control.ts';
import type { Right, RightVerb } from '#operator/rights/verbs.ts';

/**
 * What who orders something has to be allowed to. `create userkeyrequests` is asked by the API server itself. Nobody needs more to
 * take back what is their own; and `list` tells of the servers that may be used, however few.
 */
const verbOf = {
  set: 'use',
  test: 'use',
  status: 'use',
  'token-create': 'use',
  'approval-request': 'use',
  'approval-grant': 'approve',
  'approval-refuse': 'approve',
  list: undefined,
  delete: undefined,
  'token-list': undefined,
  'token-revoke': undefined,
  // Of keys of others it is asked where they are known.
  revoke: undefined,
  'approval-list': undefined,
} as const satisfies Readonly<Record<UserKeyOperation, RightVerb | undefined>>;

export function rightsOf(control: UserKeyControl, namespace: string): readonly Right[] {
  const verb = verbOf[control.operation];
  if (verb === undefined) return [];
  if (control.operation === 'token-create') return control.servers.map((server) => ({ verb, namespace, server }));
  const server = 'server' in control ? control.server : undefined;
  return [server === undefined ? { verb, namespace } : { verb, namespace, server }];
}
