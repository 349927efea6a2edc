import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import { versionOnRecord } from './version.ts';

type OnRecord = Pick<UserKey, 'status'>;

/** The newest version that was revoked; 0: none. It never goes down, and the API server keeps it from going away. */
export function revokedVersion({ status }: OnRecord): number {
  return status?.revoked?.version ?? 0;
}

export function isRevoked(userKey: OnRecord, version: number): boolean {
  return version <= revokedVersion(userKey);
}

/**
 * The oldest version that may be opened: not older than what is on record, and none that was revoked, whatever lies in the key
 * namespace. `undefined`: none may.
 */
export function versionToOpen(userKey: OnRecord): number | undefined {
  const onRecord = versionOnRecord(userKey);
  return onRecord === undefined ? undefined : Math.max(onRecord, revokedVersion(userKey) + 1);
}
