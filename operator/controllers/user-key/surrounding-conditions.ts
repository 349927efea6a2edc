import type { KeyringCondition } from '#crds/v1alpha1/conditions.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import { someOf } from '../conditions.ts';
import type { UserKeyFinding } from './finding.ts';
import { notReady } from './key-conditions.ts';

/** Pure. What is wrong around a key of which nothing can be said therefore. */
export function surroundingConditions(
  userKey: UserKey,
  finding: Exclude<UserKeyFinding, { kind: 'key' }>,
): readonly KeyringCondition[] {
  const server = userKey.spec.serverRef.name;
  switch (finding.kind) {
    case 'serverNotFound':
      return [
        notReady(
          'ServerNotFound',
          `There is no McpServer ${server} in this namespace; create it or delete this UserKey`,
        ),
      ];
    case 'noOrganization':
      return [
        notReady(
          'NamespaceHasNoOrganization',
          'No Organization selects this namespace; label the namespace as one of them asks for',
        ),
      ];
    case 'conflict':
      return [
        notReady(
          'NamespacesConflict',
          `Organizations ${someOf(finding.organizations)} all select this namespace; let only one of them`,
        ),
      ];
    case 'nameMismatch':
      return mismatch(finding.expectedName);
    default:
      return finding satisfies never;
  }
}

function mismatch(expectedName: string): readonly KeyringCondition[] {
  const message =
    `A UserKey for this server and subject is called ${expectedName}; this one is ignored. Delete it: ` +
    'UserKeys are made by the operator, when the user runs kubectl mcpkeys set';
  return [notReady('NameMismatch', message), { type: 'Stalled', status: 'True', reason: 'NameMismatch', message }];
}
