import { randomUUID } from 'node:crypto';
import type { HttpMethod, RequestEvent } from '../contract/audit.ts';
import { auditTextCharsMax } from '../contract/audit.ts';
import type { ServerRef } from '../contract/lease.ts';
import type { Message, RequestMessage } from '../mcp/message.ts';
import { nameParameter, toolCall } from '../mcp/methods.ts';
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
    userRules: undefined,
    leaseId: undefined,
    keyVersion: undefined,
    keySource: undefined,
    isDiscovering: false,
    message: undefined,
    sessionIdHash: undefined,
    traceparent: undefined,
    decision: 'forwarded',
    upstreamFirstByteMs: undefined,
    upstreamStatus: undefined,
    rpcStatus: undefined,
    isError: undefined,
    begunTaskId: undefined,
    echoes: 0,
    reportOpen: undefined,
    isOpen: false,
    endedSessions: undefined,
    putOffEnd: undefined,
    whenEnded: [],
  };
}

const httpMethods: ReadonlyMap<string, HttpMethod> = new Map(
  (['POST', 'GET', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'] as const).map((method) => [method, method]),
);

/** The audit event of a request: what was asked and decided, never an argument, a result or a key. */
export function requestEvent(ended: EndedRequest, server: ServerRef): RequestEvent {
  const event = describe(ended, server);
  const { record } = ended;
  if (!record.isOpen) return event;
  const at = new Date(Date.parse(record.at) + event.durationMs).toISOString();
  return { ...event, id: randomUUID(), at, phase: 'close', streamId: record.id };
}

/** The event of a stream that has just been opened. */
export function openingEvent(opened: EndedRequest, server: ServerRef): RequestEvent {
  return { ...describe(opened, server), phase: 'open', streamId: opened.record.id };
}

function describe({ record, httpStatus, responseBytes, durationMs }: EndedRequest, server: ServerRef): RequestEvent {
  const { subject, leaseId, keyVersion, keySource } = record;
  // Spread in, not filtered out: this runs once a request.
  return {
    id: record.id,
    at: record.at,
    type: 'request',
    server,
    ...(subject === undefined ? undefined : { subject }),
    ...(leaseId === undefined ? undefined : { leaseId }),
    ...(keyVersion === undefined ? undefined : { keyVersion }),
    ...(keySource === undefined ? undefined : { keySource }),
    httpMethod: record.httpMethod,
    ...describeMessage(record.message),
    ...describeContext(record),
    decision: record.decision,
    httpStatus,
    ...describeAnswer(record),
    durationMs: Math.round(durationMs),
    requestBytes: record.requestBytes,
    responseBytes,
  };
}

function describeContext({ message, sessionIdHash, traceparent, begunTaskId }: RequestRecord): Partial<RequestEvent> {
  const traceId = traceIdOf(message?.kind === 'request' ? message.traceparent : undefined) ?? traceIdOf(traceparent);
  return {
    ...(sessionIdHash === undefined ? undefined : { sessionIdHash }),
    ...(traceId === undefined ? undefined : { traceId }),
    ...(begunTaskId === undefined ? undefined : { taskId: bounded(begunTaskId) }),
  };
}

function describeAnswer({ rpcStatus, isError, echoes, upstreamFirstByteMs }: RequestRecord): Partial<RequestEvent> {
  return {
    ...(echoes === 0 ? undefined : { echoes }),
    ...(rpcStatus === undefined ? undefined : { rpcStatus }),
    ...(isError === undefined ? undefined : { isError }),
    ...(upstreamFirstByteMs === undefined ? undefined : { upstreamFirstByteMs: Math.round(upstreamFirstByteMs) }),
  };
}

/** W3C Trace Context, 3.2; a trace id of zeros is none. */
const traceparentForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;

function traceIdOf(traceparent: string | undefined): string | undefined {
  return traceparent === undefined ? undefined : traceparentForm.exec(traceparent)?.[1];
}

type MessageFields = Pick<RequestEvent, 'method' | 'era' | 'tool' | 'prompt' | 'uri' | 'taskId' | 'rpcId'>;

function describeMessage(message: Message | undefined): MessageFields | undefined {
  switch (message?.kind) {
    case undefined:
      return undefined;
    case 'request':
      return {
        method: bounded(message.method),
        era: message.era,
        ...describeTarget(message),
        rpcId: bounded(String(message.id)),
      };
    case 'notification':
      return { method: bounded(message.method), era: message.era };
    case 'response':
      return { era: 'legacy', rpcId: bounded(String(message.id)) };
  }
}

function describeTarget({ method, name }: RequestMessage): MessageFields | undefined {
  if (name === undefined) return undefined;
  switch (nameParameter(method)) {
    case 'name':
      return method === toolCall ? { tool: bounded(name) } : { prompt: bounded(name) };
    case 'uri':
      return { uri: bounded(withoutSecrets(name)) };
    case 'taskId':
      return { taskId: bounded(name) };
    case undefined:
      return undefined;
  }
}

/** Without user, query and fragment. */
function withoutSecrets(uri: string): string {
  return uri.replace(/[?#].*$/s, '').replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1');
}

function bounded(text: string): string {
  return text.slice(0, auditTextCharsMax);
}
