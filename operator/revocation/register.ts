import type { UserKey, UserKeyRevoked } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { writeKeyStatus } from '#operator/key-state/write-status.ts';
import { userKeys } from '#operator/kube/keyring-resources.ts';
import { revokedVersion } from '#operator/keystore/revoked.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';

/** Who wants a key to be revoked, when, and why. */
export interface RevocationOrder {
  /** As the API server or the issuer names them. */
  readonly actor: string;
  /** When it was ordered: a second attempt at the same order is known by it. */
  readonly orderedAt: Date;
  readonly reason: string | undefined;
}

export interface RegisterOptions {
  /** Fenced: only the leader revokes, as only it sets. */
  readonly client: Pick<KubeClient, 'get' | 'apply'>;
  readonly now: () => Date;
}

/** Owns `status.revoked` and nothing else. */
const fieldManager = 'mcp-keyring-revocation';

/** What a sealed key may claim to be ahead of our clock: more was not sealed by a replica of this cluster. */
const clockSkewMsMax = 600_000;

/**
 * The version up to which everything is revoked. Versions are times, so that is all that was sealed until now; `stored` is what lies in
 * the key namespace, which may be ahead of the record where setting it was not finished, and which nobody has authenticated.
 */
export function versionToRevoke(userKey: Pick<UserKey, 'status'>, stored: number | undefined, now: Date): number {
  const nowMs = now.getTime();
  const believable = stored !== undefined && stored <= nowMs + clockSkewMsMax ? stored : 0;
  return Math.max(nowMs, versionOnRecord(userKey) ?? 0, revokedVersion(userKey), believable);
}

/**
 * Puts on the UserKey, one-way, that no version of now is ever opened again. Undefined when the UserKey is gone, and with it the right to
 * open anything.
 * @throws KubeError
 */
export async function registerRevocation(
  { client, now }: RegisterOptions,
  userKey: UserKey,
  { order, stored }: { readonly order: RevocationOrder; readonly stored: number | undefined },
): Promise<UserKeyRevoked | undefined> {
  const { namespace = '', name, uid } = userKey.metadata;
  // What the cache has may be behind a register that was written a moment ago.
  const live = await client.get(userKeys, { namespace, name });
  if (live === undefined || live.metadata.uid !== uid) return undefined;
  const known = live.status?.revoked;
  if (known !== undefined && isOfThis(known, order)) return known;
  const { actor: by, orderedAt, reason } = order;
  const version = versionToRevoke(live, stored, now());
  // The clock that stamped the order may be ahead of ours.
  const at = new Date(Math.max(now().getTime(), orderedAt.getTime()));
  const revoked = { version, at: at.toISOString(), by, ...(reason === undefined ? {} : { reason }) };
  await writeKeyStatus(client, live, { fieldManager, status: { revoked } });
  return revoked;
}

/** A second attempt must not revoke what the user has set since the first. */
function isOfThis({ by, at }: UserKeyRevoked, { actor, orderedAt }: RevocationOrder): boolean {
  return by === actor && Date.parse(at) >= orderedAt.getTime();
}
