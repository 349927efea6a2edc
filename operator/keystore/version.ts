import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

/**
 * The version of a key that is sealed now: the time in milliseconds, or one more than `above` where that is later.
 *
 * No version is used twice for one user at one server, not even after the key was deleted and nothing is left that a counter could
 * go on from. So a Secret from before a delete (put back from a backup of the key namespace, or by whoever may write there) is older
 * than what the UserKey of today records, and does not open. Milliseconds, because whole seconds would give two keys that are set
 * within one the same version. It holds as long as no clock of a replica goes back behind the time at which an earlier key was set.
 *
 * `above` has to be something that was authenticated: a version that anybody can make the operator count on from is one that they
 * can push ahead of the clock, and then a deleted key is the newer one.
 */
export function nextVersion(now: Date, above: number): number {
  return Math.max(above + 1, now.getTime());
}

/**
 * The oldest version that may be used, as the UserKey has it. Only intake writes it, after it has sealed that version itself.
 * `undefined`: nothing is on record yet, so whatever lies in the key namespace is from before this UserKey, and none of it is used.
 */
export function versionOnRecord({ status }: Pick<UserKey, 'status'>): number | undefined {
  const version = status?.version ?? 0;
  return version > 0 ? version : undefined;
}

/** Whether the upstream has refused this version, or a later one: then it is not handed out again. */
export function isRejected({ status }: Pick<UserKey, 'status'>, version: number): boolean {
  return (status?.rejected?.version ?? 0) >= version;
}
