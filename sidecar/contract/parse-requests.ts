/**
 * What a broker receives. Input is a value out of `JSON.parse`; the caller bounds the bytes first (`leaseRequestBytesMax`,
 * `auditBatchBytesMax`). Unknown fields are ignored, so that a newer sidecar may say more; unknown values are refused.
 */
import type { HttpMethod, RequestDecision, RequestEvent } from './audit.ts';
import { auditBatchMax, auditTextCharsMax } from './audit.ts';
import type { ClosedSet } from './fields.ts';
import { ifPresent, present, readInteger, readList, readObject, readOneOf, readText } from './fields.ts';
import type { LeaseRequest } from './lease.ts';
import { credentialBytesMax } from './lease.ts';
import { parseServerRef, parseSubject } from './parse-common.ts';

/** @throws ContractError */
export function parseLeaseRequest(value: unknown): LeaseRequest {
  const body = readObject(value, 'lease request');
  return {
    server: parseServerRef(body['server'], 'server'),
    credential: readText(body['credential'], 'credential', {
      charsMax: credentialBytesMax,
      pattern: credentialShape,
      expected: `visible ASCII, at most ${credentialBytesMax} bytes`,
    }),
  };
}

/** Visible ASCII only, so that characters are bytes. RFC 6750 allows less; issuers know their own tokens. */
const credentialShape = /^[\x21-\x7e]+$/;

/** @throws ContractError */
export function parseAuditBatch(value: unknown): readonly RequestEvent[] {
  const { events } = readObject(value, 'audit batch');
  return readList(events, 'events', { itemsMax: auditBatchMax, item: parseRequestEvent });
}

const httpMethods: ClosedSet<HttpMethod> = {
  POST: true,
  GET: true,
  DELETE: true,
  PUT: true,
  PATCH: true,
  HEAD: true,
  OPTIONS: true,
  OTHER: true,
};

const requestDecisions: ClosedSet<RequestDecision> = {
  forwarded: true,
  unauthenticated: true,
  keyMissing: true,
  denied: true,
  badRequest: true,
  tooLarge: true,
  brokerUnavailable: true,
  upstreamUnavailable: true,
  clientClosed: true,
};

const uuid = { charsMax: 36, pattern: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, expected: 'a lower-case UUID' };
const instant = {
  charsMax: 24,
  pattern: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
  expected: 'RFC 3339 in UTC with milliseconds',
};
const count = { min: 0, max: Number.MAX_SAFE_INTEGER };

function parseRequestEvent(value: unknown, path: string): RequestEvent {
  const event = readObject(value, path);
  const text = (field: string): string | undefined =>
    ifPresent(event[field], (found) =>
      readText(found, `${path}.${field}`, { charsMax: auditTextCharsMax, charsMin: 0 }),
    );
  const integer = (field: string, range = count): number => readInteger(event[field], `${path}.${field}`, range);
  return present({
    id: readText(event['id'], `${path}.id`, uuid),
    at: readText(event['at'], `${path}.at`, instant),
    type: readOneOf(event['type'], `${path}.type`, { request: true }),
    server: parseServerRef(event['server'], `${path}.server`),
    subject: ifPresent(event['subject'], (found) => parseSubject(found, `${path}.subject`)),
    leaseId: text('leaseId'),
    keyVersion: ifPresent(event['keyVersion'], () => integer('keyVersion')),
    httpMethod: readOneOf(event['httpMethod'], `${path}.httpMethod`, httpMethods),
    method: text('method'),
    tool: text('tool'),
    rpcId: text('rpcId'),
    decision: readOneOf(event['decision'], `${path}.decision`, requestDecisions),
    httpStatus: integer('httpStatus', { min: 0, max: 999 }),
    durationMs: integer('durationMs'),
    requestBytes: integer('requestBytes'),
    responseBytes: integer('responseBytes'),
  });
}
