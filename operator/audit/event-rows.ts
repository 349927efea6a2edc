import type { ServerRef, Subject } from '#contract/lease.ts';

import type { ApprovalEvent, AuditEvent, KeyEvent } from './audit-log.ts';

/** Outcome of a count that goes on: the only rows that are ever written again. */
export const openOutcome = 'open';

/** One row of the table: the columns that are searched by, and the whole event as JSON. */
export interface EventRow {
  readonly id: string;
  readonly at: string;
  readonly type: AuditEvent['type'];
  readonly organization: string | null;
  readonly namespace: string | null;
  readonly server: string | null;
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly outcome: string | null;
  readonly keyVersion: number | null;
  readonly leaseId: string | null;
  readonly json: string;
}

export function toRow(event: AuditEvent): EventRow {
  return {
    id: event.id,
    at: event.at,
    type: event.type,
    organization: event.organization ?? null,
    ...columnsOfPlace(event),
    outcome: outcomeOf(event),
    ...columnsOfKey(event),
    json: JSON.stringify(event),
  };
}

function columnsOfPlace(event: AuditEvent): Pick<EventRow, 'namespace' | 'server' | 'issuer' | 'subject'> {
  const server: ServerRef | undefined = 'server' in event ? event.server : undefined;
  const subject: Subject | undefined = 'subject' in event ? event.subject : undefined;
  const namespace = 'namespace' in event ? event.namespace : server?.namespace;
  return {
    namespace: namespace ?? null,
    server: server?.name ?? null,
    issuer: subject?.issuer ?? null,
    subject: subject?.id ?? null,
  };
}

function columnsOfKey(event: AuditEvent): Pick<EventRow, 'keyVersion' | 'leaseId'> {
  return {
    keyVersion: 'keyVersion' in event ? (event.keyVersion ?? null) : null,
    leaseId: 'leaseId' in event ? (event.leaseId ?? null) : null,
  };
}

function outcomeOf(event: AuditEvent): string | null {
  // What was done with a key, a token or an approval has no outcome: it was done.
  if ('token' in event || isKeyEvent(event) || isApprovalEvent(event)) return null;
  switch (event.type) {
    case 'request':
      return event.decision;
    case 'request.refused':
      return event.complete ? 'complete' : openOutcome;
    case 'denied':
      return event.reason;
    case 'lease':
      return 'granted';
    default:
      return event satisfies never;
  }
}

function isKeyEvent(event: AuditEvent): event is KeyEvent {
  return event.type.startsWith('key.');
}

function isApprovalEvent(event: AuditEvent): event is ApprovalEvent {
  return event.type.startsWith('approval.');
}
