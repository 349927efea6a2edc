import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';

/** Whose key the requests to a server carry. */
export type KeyUse =
  /** Each user's own, or none where the server declares no header. */
  | 'own'
  /** The organization's, for everybody. */
  | 'shared'
  /** A user's own where one is there at all, whatever its state; otherwise the organization's. */
  | 'ownOrShared'
  /** Nobody's: the plan has no keys of users, and the server is for nothing else. */
  | 'refusedByPlan';

/** Absent: Enterprise. */
export type SharedOnlyPlan = 'Standard' | undefined;

/** Pure. Where the plan has shared keys only, a user's own key counts for nothing, also one that is stored already. */
export function keyUse({ spec }: Pick<McpServer, 'spec'>, plan: SharedOnlyPlan): KeyUse {
  const { mode, headers } = spec.authentication;
  if (headers.length === 0) return 'own';
  switch (mode) {
    case 'PerUser':
      return plan === 'Standard' ? 'refusedByPlan' : 'own';
    case 'Shared':
      return 'shared';
    case 'PerUserOrShared':
      return plan === 'Standard' ? 'shared' : 'ownOrShared';
    default:
      return mode satisfies never;
  }
}

/** Whether a user's own key is ever used at the server. */
export function takesOwnKeys(use: KeyUse): boolean {
  return use === 'own' || use === 'ownOrShared';
}
