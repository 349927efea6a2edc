import type { AuditLog, KeyEvent } from '#operator/audit/audit-log.ts';
import { uuidOf } from '#operator/audit/event-ids.ts';
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
