import { randomUUID } from 'node:crypto';
import type { HttpMethod, RequestEvent } from '../contract/audit.ts';
import { auditTextCharsMax } from '../contract/audit.ts';
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
export function requestEvent(
  { record, httpStatus, responseBytes, durationMs }: EndedRequest,
  server: ServerRef,
): RequestEvent {
  const { subject, leaseId, keyVersion } = record;
  // Spread in, not filtered out: this runs once a request.
  return {
    id: record.id,
    at: record.at,
    type: 'request',
    server,
    ...(subject === undefined ? undefined : { subject }),
    ...(leaseId === undefined ? undefined : { leaseId }),
    ...(keyVersion === undefined ? undefined : { keyVersion }),
    httpMethod: record.httpMethod,
    ...describeMessage(record.message),
    decision: record.decision,
    httpStatus,
    durationMs: Math.round(durationMs),
    requestBytes: record.requestBytes,
    responseBytes,
  };
}

function describeMessage(message: Message | undefined): Pick<RequestEvent, 'method' | 'tool' | 'rpcId'> | undefined {
  switch (message?.kind) {
    case undefined:
      return undefined;
    case 'request': {
      const request = { method: bounded(message.method), rpcId: bounded(String(message.id)) };
      return message.tool === undefined ? request : { ...request, tool: bounded(message.tool) };
    }
    case 'notification':
      return { method: bounded(message.method) };
    case 'response':
      return { rpcId: bounded(String(message.id)) };
  }
}

function bounded(text: string): string {
  return text.slice(0, auditTextCharsMax);
}
