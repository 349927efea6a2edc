import type { UserKeyControl } from '#cli/contract/request-control.ts';
import type { Right } from '#operator/rights/verbs.ts';

/**
 * What who orders something has to be allowed to. `create userkeyrequests` is asked by the API server itself. Nobody needs more to
 * take back what is their own; and `list` tells of the servers that may be used, however few.
 */
export function rightsOf(control: UserKeyControl, namespace: string): readonly Right[] {
  switch (control.operation) {
    case 'set':
    case 'test':
    case 'status':
      return [{ verb: 'use', namespace, server: control.server }];
    case 'token-create':
      return control.servers.map((server) => ({ verb: 'use', namespace, server }));
    case 'list':
    case 'delete':
    case 'token-list':
    case 'token-revoke':
    // Of keys of others it is asked where they are known.
    case 'revoke':
      return [];
  }
}
