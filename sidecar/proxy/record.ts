import { randomUUID } from 'node:crypto';
import type { HttpMethod, RequestEvent } from '../contract/audit.ts';
import { auditTextCharsMax } from '../contract/audit.ts';
import { present } from '../contract/fields.ts';
import type { ServerRef } from '../contract/lease.ts';
import type { Message } from '../mcp/message.ts';
import type { EndedRequest, RequestRecord } from './exchange.ts';

/** `startedMs` is monotonic, `at` the time of day. */
export function newRecord(method: string, clock: { readonly startedMs: number; readonly at: Date }): RequestRecord {
  return {
    id: randomUUID(),
    at: clock.at.toISOString(),
    startedMs: clock.startedMs,
    httpMethod: httpMethods.get(method) ?? 'OTHER',
    requestBytes: 0,
    subject: undefined,
    leaseId: undefined,
    keyVersion: undefined,
    message: undefined,
    decision: 'forwarded',
    whenEnded: [],
  };
}

const httpMethods: ReadonlyMap<string, HttpMethod> = new Map(
  (['POST', 'GET', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'] as const).map((method) => [method, method]),
);

/** The audit event of a request: what was asked and decided, never an argument, a result or a key. */
export function requestEvent(ended: EndedRequest, server: ServerRef): RequestEvent {
  const { record } = ended;
  return present({
    id: record.id,
    at: record.at,
    type: 'request' as const,
    server,
    subject: record.subject,
    leaseId: record.leaseId,
    keyVersion: record.keyVersion,
    httpMethod: record.httpMethod,
    ...describeMessage(record.message),
    decision: record.decision,
    httpStatus: ended.httpStatus,
    durationMs: Math.round(ended.durationMs),
    requestBytes: record.requestBytes,
    responseBytes: ended.responseBytes,
  });
}

function describeMessage(message: Message | undefined): Pick<RequestEvent, 'method' | 'tool' | 'rpcId'> {
  switch (message?.kind) {
    case undefined:
      return {};
    case 'request':
      return present({
        method: bounded(message.method),
        tool: bounded(message.tool),
        rpcId: bounded(String(message.id)),
      });
    case 'notification':
      return { method: bounded(message.method) };
    case 'response':
      return { rpcId: bounded(String(message.id)) };
  }
}

function bounded(text: string): string;
function bounded(text: string | undefined): string | undefined;
function bounded(text: string | undefined): string | undefined {
  return text?.slice(0, auditTextCharsMax);
}
