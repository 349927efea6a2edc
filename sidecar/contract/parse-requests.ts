/**
 * What a broker receives. Input is a value out of `JSON.parse`; the caller bounds the bytes first (`leaseRequestBytesMax`,
 * `auditBatchBytesMax`, `outcomeReportBytesMax`). Unknown fields are ignored, so that a newer sidecar may say more; unknown values are refused.
 */
import type { HttpMethod, RequestDecision, RequestEra, RequestEvent } from './audit.ts';
import { auditBatchMax, auditTextCharsMax } from './audit.ts';
import type { ClosedSet, JsonObject, TextBounds } from './fields.ts';
import { ifPresent, present, readBoolean, readInteger, readList, readObject, readOneOf, readText } from './fields.ts';
import type { KeySource, LeaseRequest } from './lease.ts';
import { credentialBytesMax, receiptCharsMax } from './lease.ts';
import type { KeyEnd, KeyOutcome, OutcomeReport } from './outcome.ts';
import { outcomesMax } from './outcome.ts';
import { parseServerRef, parseSubject, parseSubjectKey } from './parse-common.ts';

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
export function parseOutcomeReport(value: unknown): OutcomeReport {
  const { server, outcomes, ends } = readObject(value, 'outcome report');
  return present({
    server: parseServerRef(server, 'server'),
    outcomes: readList(outcomes, 'outcomes', { itemsMax: outcomesMax, item: parseOutcome }),
    ends: ifPresent(ends, (found) => readList(found, 'ends', { itemsMax: outcomesMax, item: parseEnd })),
  });
}

function parseOutcome(value: unknown, path: string): KeyOutcome {
  const { subjectKey, keyVersion, keySource, outcome, receipt } = readObject(value, path);
  return present({
    subjectKey: parseSubjectKey(subjectKey, `${path}.subjectKey`),
    keyVersion: readInteger(keyVersion, `${path}.keyVersion`, { min: 1, max: Number.MAX_SAFE_INTEGER }),
    keySource: ifPresent(keySource, (found) => readOneOf(found, `${path}.keySource`, { shared: true })),
    outcome: readOneOf(outcome, `${path}.outcome`, { accepted: true, rejected: true }),
    receipt: ifPresent(receipt, (found) => readText(found, `${path}.receipt`, { charsMax: receiptCharsMax })),
  });
}

function parseEnd(value: unknown, path: string): KeyEnd {
  const { subjectKey, keyVersion, endsAt, receipt } = readObject(value, path);
  return present({
    subjectKey: parseSubjectKey(subjectKey, `${path}.subjectKey`),
    keyVersion: readInteger(keyVersion, `${path}.keyVersion`, { min: 1, max: Number.MAX_SAFE_INTEGER }),
    endsAt: readText(endsAt, `${path}.endsAt`, instant),
    receipt: ifPresent(receipt, (found) => readText(found, `${path}.receipt`, { charsMax: receiptCharsMax })),
  });
}

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
  metadata: true,
  unauthenticated: true,
  keyMissing: true,
  keyRejected: true,
  denied: true,
  toolDenied: true,
  limited: true,
  badRequest: true,
  tooLarge: true,
  brokerUnavailable: true,
  upstreamUnavailable: true,
  clientClosed: true,
};

export const keySources: ClosedSet<KeySource> = { user: true, shared: true, discovery: true };
const eras: ClosedSet<RequestEra> = { legacy: true, modern: true };
const phases: ClosedSet<NonNullable<RequestEvent['phase']>> = { open: true, close: true };

const uuid = { charsMax: 36, pattern: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, expected: 'a lower-case UUID' };
const instant = {
  charsMax: 24,
  pattern: /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/,
  expected: 'RFC 3339 in UTC with milliseconds',
};
const count = { min: 0, max: Number.MAX_SAFE_INTEGER };
const rpcCode = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER };
const hashText = { charsMax: 43, pattern: /^[\w-]{43}$/, expected: 'a SHA-256 hash in base64url' };
const traceIdText = { charsMax: 32, pattern: /^[0-9a-f]{32}$/, expected: '32 hexadecimal digits' };

function parseRequestEvent(value: unknown, path: string): RequestEvent {
  const event = readObject(value, path);
  const fields = new EventFields(event, path);
  return present({
    id: readText(event['id'], `${path}.id`, uuid),
    at: readText(event['at'], `${path}.at`, instant),
    type: readOneOf(event['type'], `${path}.type`, { request: true }),
    server: parseServerRef(event['server'], `${path}.server`),
    subject: ifPresent(event['subject'], (found) => parseSubject(found, `${path}.subject`)),
    leaseId: fields.text('leaseId'),
    keyVersion: fields.optionalInteger('keyVersion'),
    keySource: fields.oneOf('keySource', keySources),
    httpMethod: readOneOf(event['httpMethod'], `${path}.httpMethod`, httpMethods),
    ...parseMessageFields(fields),
    decision: readOneOf(event['decision'], `${path}.decision`, requestDecisions),
    httpStatus: fields.integer('httpStatus', { min: 0, max: 999 }),
    rpcStatus: fields.optionalInteger('rpcStatus', rpcCode),
    isError: ifPresent(event['isError'], (found) => readBoolean(found, `${path}.isError`)),
    echoes: fields.optionalInteger('echoes'),
    upstreamFirstByteMs: fields.optionalInteger('upstreamFirstByteMs'),
    durationMs: fields.integer('durationMs'),
    requestBytes: fields.integer('requestBytes'),
    responseBytes: fields.integer('responseBytes'),
    phase: fields.oneOf('phase', phases),
    streamId: fields.text('streamId', uuid),
  });
}

/** What was asked, and under which names one finds it elsewhere. */
function parseMessageFields(fields: EventFields) {
  return {
    method: fields.text('method'),
    era: fields.oneOf('era', eras),
    tool: fields.text('tool'),
    prompt: fields.text('prompt'),
    uri: fields.text('uri'),
    taskId: fields.text('taskId'),
    rpcId: fields.text('rpcId'),
    sessionIdHash: fields.text('sessionIdHash', hashText),
    traceId: fields.text('traceId', traceIdText),
  };
}

const eventText: TextBounds = { charsMax: auditTextCharsMax, charsMin: 0 };

class EventFields {
  readonly #event: JsonObject;
  readonly #path: string;

  constructor(event: JsonObject, path: string) {
    this.#event = event;
    this.#path = path;
  }

  text(field: string, bounds = eventText): string | undefined {
    return ifPresent(this.#event[field], (found) => readText(found, `${this.#path}.${field}`, bounds));
  }

  integer(field: string, range = count): number {
    return readInteger(this.#event[field], `${this.#path}.${field}`, range);
  }

  optionalInteger(field: string, range = count): number | undefined {
    return ifPresent(this.#event[field], () => this.integer(field, range));
  }

  oneOf<T extends string>(field: string, allowed: ClosedSet<T>): T | undefined {
    return ifPresent(this.#event[field], (found) => readOneOf(found, `${this.#path}.${field}`, allowed));
  }
}
