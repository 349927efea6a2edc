import { createHash } from 'node:crypto';

import type { AuditLog, KeyEvent } from '#operator/audit/audit-log.ts';
import type { KeyStore } from '#operator/keystore/key-store.ts';

import type { UserKeyAction } from './decide.ts';

export interface UserKeyPorts {
  readonly keyStore: Pick<KeyStore, 'destroy'>;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly now: () => Date;
}

type RecordDestroyed = Extract<UserKeyAction, { kind: 'recordDestroyed' }>;

/** Who is on record for it; the API server's own audit log knows who deleted the UserKey. */
const actor = 'mcp-keyring-operator, after the UserKey was deleted';

export function userKeyActions({ keyStore, audit, now }: UserKeyPorts): (action: UserKeyAction) => Promise<void> {
  return async (action) => {
    switch (action.kind) {
      case 'destroyKey': {
        const { server, subject } = action;
        await keyStore.destroy({ server, subject });
        return;
      }
      case 'recordDestroyed':
        await audit.append(destroyedEvent(action, now()));
        return;
      default:
        action satisfies never;
    }
  };
}

/** The id comes from the UserKey, so that a second attempt adds no second event. */
function destroyedEvent({ userKey, organization }: RecordDestroyed, now: Date): KeyEvent {
  const { metadata, spec, status } = userKey;
  return {
    type: 'key.destroyed',
    id: uuidOf(`key.destroyed/${metadata.uid}`),
    at: now.toISOString(),
    ...(organization === undefined ? {} : { organization }),
    server: { namespace: metadata.namespace ?? '', name: spec.serverRef.name },
    subject: spec.subject,
    ...(status?.version === undefined ? {} : { keyVersion: status.version }),
    headerNames: (status?.headers ?? []).filter(({ state }) => state === 'Configured').map(({ name }) => name),
    actor,
  };
}

/** RFC 9562, version 8: the content is ours to define. */
function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
