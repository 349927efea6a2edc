import type { PodRole } from '#operator/identity/pod-roles.ts';

import type { SnapshotExtras } from './policy-snapshot.ts';

export interface ProxyPlace {
  readonly role: PodRole;
  /** Whether the server runs outside the cluster. */
  readonly isRemote: boolean;
}

/**
 * Pure. Secrets of a server go to the proxies that stand in front of it: in its pods, or, where it is remote, outside. A gateway passes
 * requests for a server in the cluster on to its sidecar, which does what needs them. An agent keeps its sessions to itself.
 */
export function forPlace(extras: SnapshotExtras, { role, isRemote }: ProxyPlace): SnapshotExtras {
  const { keyPage, sessionKey, ...forAll } = extras;
  if ((role === 'server') === isRemote) return forAll;
  return {
    ...forAll,
    ...(keyPage === undefined ? {} : { keyPage }),
    ...(sessionKey === undefined || role === 'agent' ? {} : { sessionKey }),
  };
}
