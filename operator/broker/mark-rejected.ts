import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Store } from '#operator/kube/informer.ts';
import { writeKeyStatus } from '#operator/key-state/write-status.ts';
import { mcpServers } from '#operator/kube/keyring-resources.ts';
import { userKeyName } from '#operator/keystore/names.ts';
import { isRejected, versionOnRecord } from '#operator/keystore/version.ts';
import type { SharedKeys } from '#operator/shared-keys/shared-keys.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Rejection } from './rejections.ts';

export interface MarkerOptions {
  /**
   * Not fenced: rejections arrive at every replica. Two that mark the same write the same, and the API server lets a mark only go up,
   * so no order of writes loses one.
   */
  readonly client: Pick<KubeClient, 'apply'>;
  readonly userKeys: Pick<Store<UserKey>, 'get'>;
  readonly mcpServers: Pick<Store<McpServer>, 'get'>;
  readonly sharedKeys: Pick<SharedKeys, 'versionOf'>;
  readonly tenancy: TenancyIndex;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly now: () => Date;
}

/** `stale`: the key was changed, deleted or marked in the meantime. */
export type MarkResult = 'marked' | 'stale';

/** In place of a user's: the key is the organization's. No subject key has a star in it. */
export const sharedKeyOwner = '*';

/** Owns `status.rejected` of UserKeys, `status.sharedKey` of McpServers, and nothing else. */
const fieldManager = 'mcp-keyring-outcomes';

/** Who is on record for it. */
const actor = 'mcp-keyring-operator, after the upstream answered 401';

/**
 * Writes on the UserKey that the upstream refuses this version. It goes on record first, with an id that a second attempt repeats.
 * @throws AuditError, KubeError
 */
export async function markRejected(options: MarkerOptions, rejection: Rejection): Promise<MarkResult> {
  const { server, subjectKey, keyVersion } = rejection;
  if (subjectKey === sharedKeyOwner) return markSharedRejected(options, rejection);
  const userKey = options.userKeys.get(server.namespace, userKeyName(server, subjectKey));
  if (userKey === undefined || !isCurrent(userKey, rejection)) return 'stale';
  await record(options, userKey, rejection);
  const rejected = { version: keyVersion, at: options.now().toISOString() };
  await writeKeyStatus(options.client, userKey, { fieldManager, status: { rejected } });
  return 'marked';
}

/** The same on the McpServer, for the key that all its users share. */
async function markSharedRejected(options: MarkerOptions, { server: ref, keyVersion }: Rejection): Promise<MarkResult> {
  const server = options.mcpServers.get(ref.namespace, ref.name);
  if (server === undefined || options.sharedKeys.versionOf(server) !== keyVersion) return 'stale';
  if (server.status?.sharedKey?.rejected?.version === keyVersion) return 'stale';
  const { apiVersion, kind, spec, metadata } = server;
  const owner = options.tenancy.organizationOf(ref.namespace);
  await options.audit.append({
    type: 'key.rejected',
    id: uuidOf(`key.rejected/shared/${metadata.uid}/${keyVersion}`),
    at: options.now().toISOString(),
    ...(owner.kind === 'organization' ? { organization: owner.name } : {}),
    server: ref,
    keyVersion,
    keySource: 'shared',
    headerNames: spec.authentication.headers.map(({ name }) => name),
    actor,
  });
  const identity = { ...ref, ...(metadata.uid === undefined ? {} : { uid: metadata.uid }) };
  const status = { sharedKey: { rejected: { version: keyVersion, at: options.now().toISOString() } } };
  const marked = { apiVersion, kind, spec, metadata: identity, status };
  await options.client.apply(mcpServers, marked, { fieldManager, subresource: 'status' });
  return 'marked';
}

function isCurrent(userKey: UserKey, { server, keyVersion }: Rejection): boolean {
  if (userKey.metadata.deletionTimestamp !== undefined || userKey.spec.serverRef.name !== server.name) return false;
  return versionOnRecord(userKey) === keyVersion && !isRejected(userKey, keyVersion);
}

async function record(options: MarkerOptions, userKey: UserKey, { server, keyVersion }: Rejection): Promise<void> {
  const owner = options.tenancy.organizationOf(server.namespace);
  await options.audit.append({
    type: 'key.rejected',
    id: uuidOf(`key.rejected/${userKey.metadata.uid}/${keyVersion}`),
    at: options.now().toISOString(),
    ...(owner.kind === 'organization' ? { organization: owner.name } : {}),
    server,
    subject: userKey.spec.subject,
    keyVersion,
    headerNames: (userKey.status?.headers ?? []).filter(({ version }) => version !== undefined).map(({ name }) => name),
    actor,
  });
}
