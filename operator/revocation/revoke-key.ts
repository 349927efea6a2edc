import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { RevokedKey } from '#cli/contract/responses.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import type { KeyAddress, KeyStore } from '#operator/keystore/key-store.ts';
import { versionOnRecord } from '#operator/keystore/version.ts';

import { registerRevocation, type RegisterOptions, type RevocationOrder } from './register.ts';

export interface KeyRevokerOptions extends RegisterOptions {
  readonly keyStore: Pick<KeyStore, 'destroy' | 'userKeyNameOf'>;
  readonly audit: Pick<AuditLog, 'append'>;
  /** So that no order about the same key is half-way. */
  readonly turns: { take(key: string): Promise<Disposable> };
}

/** One key that is to be revoked. */
export interface KeyToRevoke {
  readonly userKey: UserKey;
  readonly address: Pick<KeyAddress, 'server' | 'subject'>;
  readonly organization: string;
  /** Version of what lies sealed, as it says itself. */
  readonly stored: number | undefined;
}

export interface KeyRevocation extends RevocationOrder {
  /** Of the request: events of a second attempt are the same. */
  readonly requestUid: string;
  readonly fingerprint: string | undefined;
}

/**
 * The register first: from then on no replica opens the key, whatever lies in the key namespace and whatever fails after it. Then what is
 * sealed is destroyed, so that a replica that has not heard of the register yet finds nothing. The record last, since nothing may keep a
 * leaked key in use; who ordered it gets no answer before it is written. It rejects when it should be tried again as a whole.
 */
export async function revokeKey(
  options: KeyRevokerOptions,
  key: KeyToRevoke,
  revocation: KeyRevocation,
): Promise<RevokedKey> {
  const { keyStore, turns } = options;
  const { userKey, address, stored } = key;
  const { server, subject } = address;
  using _turn = await turns.take(`${server.namespace}/${keyStore.userKeyNameOf(address)}`);
  const revoked = await registerRevocation(options, userKey, { order: revocation, stored });
  if (revoked !== undefined) await keyStore.destroy(address, { upTo: revoked.version });
  await record(options, key, revocation);
  const version = versionOnRecord(userKey);
  return {
    server: server.name,
    user: { issuer: subject.issuer, name: subject.name },
    ...(version === undefined ? {} : { version }),
  };
}

async function record(
  { audit, now }: KeyRevokerOptions,
  { userKey, address, organization }: KeyToRevoke,
  { requestUid, actor, reason, fingerprint }: KeyRevocation,
): Promise<void> {
  const version = versionOnRecord(userKey);
  await audit.append({
    type: 'key.revoked',
    id: uuidOf(`key.revoked/${requestUid}/${userKey.metadata.uid}`),
    at: now().toISOString(),
    organization,
    server: address.server,
    subject: address.subject,
    ...(version === undefined ? {} : { keyVersion: version }),
    headerNames: (userKey.status?.headers ?? [])
      .filter((header) => header.version !== undefined)
      .map(({ name }) => name),
    ...(reason === undefined ? {} : { reason }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
    actor,
  });
}
