import type { RequestEvent } from '#contract/audit.ts';
import type { ClosedSet, JsonObject } from '#contract/fields.ts';
import {
  ContractError,
  ifPresent,
  present,
  readInteger,
  readList,
  readObject,
  readOneOf,
  readText,
} from '#contract/fields.ts';
import { parseServerRef, parseSubject } from '#contract/parse-common.ts';
import { keySources, parseAuditBatch } from '#contract/parse-requests.ts';

import { AuditError } from './audit-error.ts';
import { auditLimits } from './audit-limits.ts';
import type {
  ApprovalEvent,
  AuditEvent,
  DenialEvent,
  KeyEvent,
  LeaseEvent,
  PodOnRecord,
  RefusedRequests,
  RequestRecord,
  TokenEvent,
} from './audit-log.ts';
import { readDecisionCounts } from './refused-requests.ts';

const keyTypes: ClosedSet<KeyEvent['type']> = {
  'key.set': true,
  'key.delete': true,
  'key.destroyed': true,
  'key.rejected': true,
  'key.probed': true,
  'key.revoked': true,
};
const tokenTypes: ClosedSet<TokenEvent['type']> = { 'token.created': true, 'token.used': true, 'token.revoked': true };
const approvalTypes: ClosedSet<ApprovalEvent['type']> = {
  'approval.requested': true,
  'approval.granted': true,
  'approval.refused': true,
};

const types: ClosedSet<AuditEvent['type']> = {
  request: true,
  'request.refused': true,
  lease: true,
  denied: true,
  ...keyTypes,
  ...tokenTypes,
  ...approvalTypes,
};

/**
 * The same event made anew of the fields that its type has, each checked. What has no field here is never stored, so that a
 * careless caller cannot put a key on record.
 * @throws AuditError ERR_AUDIT_EVENT_INVALID
 */
export function readAuditEvent(value: unknown): AuditEvent {
  try {
    const event = readObject(value, 'event');
    return read(event, readOneOf(event['type'], 'event.type', types));
  } catch (cause) {
    throw cause instanceof ContractError ? new AuditError('ERR_AUDIT_EVENT_INVALID', { cause }) : cause;
  }
}

function isOf<Type extends string>(known: ClosedSet<Type>, type: string): type is Type {
  return Object.hasOwn(known, type);
}

function read(event: JsonObject, type: AuditEvent['type']): AuditEvent {
  if (isOf(keyTypes, type)) return readKey(event, type);
  if (isOf(tokenTypes, type)) return readToken(event, type);
  if (isOf(approvalTypes, type)) return readApproval(event, type);
  switch (type) {
    case 'request':
      return readRequest(event);
    case 'request.refused':
      return readRefused(event);
    case 'lease':
      return readLease(event);
    case 'denied':
      return readDenial(event);
    default:
      return type satisfies never;
  }
}

const instant = {
  charsMax: 24,
  pattern: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
  expected: 'RFC 3339 in UTC with milliseconds',
};
const version = { min: 0, max: Number.MAX_SAFE_INTEGER };

function text(event: JsonObject, field: string, charsMax: number = auditLimits.textCharsMax): string {
  return readText(event[field], `event.${field}`, { charsMax });
}

function optionalText(event: JsonObject, field: string): string | undefined {
  return ifPresent(event[field], () => text(event, field));
}

function readBase(event: JsonObject): Omit<DenialEvent, 'type' | 'action' | 'reason' | 'message'> {
  return present({
    id: text(event, 'id', 64),
    at: readText(event['at'], 'event.at', instant),
    organization: optionalText(event, 'organization'),
    server: ifPresent(event['server'], (found) => parseServerRef(found, 'event.server')),
    subject: ifPresent(event['subject'], (found) => parseSubject(found, 'event.subject')),
  });
}

function readHeaderNames(event: JsonObject): readonly string[] {
  return readList(event['headerNames'], 'event.headerNames', {
    itemsMax: auditLimits.headerNamesMax,
    item: (name, path) => readText(name, path, { charsMax: 256 }),
  });
}

function readRequest(event: JsonObject): RequestRecord {
  return present({
    ...readReported(event),
    organization: optionalText(event, 'organization'),
    reportedBy: ifPresent(event['reportedBy'], readReporter),
  });
}

function readReporter(value: unknown): PodOnRecord {
  return readPod(readObject(value, 'event.reportedBy'));
}

function readPod(pod: JsonObject): PodOnRecord {
  return present({ name: text(pod, 'name'), uid: text(pod, 'uid'), namespace: optionalText(pod, 'namespace') });
}

function readRefused(event: JsonObject): RefusedRequests {
  const { subject: _, ...base } = readBase(event);
  if (typeof event['complete'] !== 'boolean') throw new ContractError('event.complete', 'true or false');
  return {
    ...base,
    type: 'request.refused',
    reportedBy: readReporter(event['reportedBy']),
    count: readInteger(event['count'], 'event.count', { min: 1, max: Number.MAX_SAFE_INTEGER }),
    decisions: readDecisionCounts(event['decisions'], 'event.decisions'),
    firstAt: readText(event['firstAt'], 'event.firstAt', instant),
    lastAt: readText(event['lastAt'], 'event.lastAt', instant),
    complete: event['complete'],
  };
}

/** Sidecars and the log hold the same fields to the same rules. */
function readReported(event: JsonObject): RequestEvent {
  const [reported] = parseAuditBatch({ events: [event] });
  if (reported === undefined) throw new ContractError('event', 'a request event');
  return reported;
}

function readLease(event: JsonObject): LeaseEvent {
  const pod = readObject(event['pod'], 'event.pod');
  return present({
    ...readBase(event),
    type: 'lease' as const,
    leaseId: text(event, 'leaseId'),
    keyVersion: readInteger(event['keyVersion'], 'event.keyVersion', version),
    keySource: ifPresent(event['keySource'], (found) => readOneOf(found, 'event.keySource', keySources)),
    headerNames: readHeaderNames(event),
    pod: present({ ...readPod(pod), node: optionalText(pod, 'node') }),
    podCredentialId: optionalText(event, 'podCredentialId'),
  });
}

function readKey(event: JsonObject, type: KeyEvent['type']): KeyEvent {
  return present({
    ...readBase(event),
    type,
    keyVersion: ifPresent(event['keyVersion'], (found) => readInteger(found, 'event.keyVersion', version)),
    keySource: ifPresent(event['keySource'], (found) => readOneOf(found, 'event.keySource', { shared: true })),
    headerNames: readHeaderNames(event),
    verdict: optionalText(event, 'verdict'),
    reason: optionalText(event, 'reason'),
    fingerprint: optionalText(event, 'fingerprint'),
    actor: text(event, 'actor'),
  });
}

function readApproval(event: JsonObject, type: ApprovalEvent['type']): ApprovalEvent {
  return present({
    ...readBase(event),
    type,
    until: ifPresent(event['until'], (until) => readText(until, 'event.until', instant)),
    reason: optionalText(event, 'reason'),
    approver: ifPresent(event['approver'], (approver) => parseSubject(approver, 'event.approver')),
    groups: ifPresent(event['groups'], (groups) =>
      readList(groups, 'event.groups', {
        itemsMax: auditLimits.groupsMax,
        item: (group, path) => readText(group, path, { charsMax: 256 }),
      }),
    ),
    actor: text(event, 'actor'),
  });
}

function readToken(event: JsonObject, type: TokenEvent['type']): TokenEvent {
  const { server: _, ...base } = readBase(event);
  return {
    ...base,
    type,
    namespace: text(event, 'namespace'),
    token: text(event, 'token'),
    servers: readList(event['servers'], 'event.servers', {
      itemsMax: auditLimits.headerNamesMax,
      item: (name, path) => readText(name, path, { charsMax: 256 }),
    }),
    actor: text(event, 'actor'),
  };
}

function readDenial(event: JsonObject): DenialEvent {
  return {
    ...readBase(event),
    type: 'denied',
    action: text(event, 'action'),
    reason: text(event, 'reason'),
    message: text(event, 'message', auditLimits.messageCharsMax),
  };
}
