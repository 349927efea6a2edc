import { Fields } from '../http1/fields.ts';
import type { RequestDecision } from '../contract/audit.ts';
import { LeaseError } from '../leases/lease-error.ts';
import { rpcCodes, rpcErrorBody } from '../mcp/answers.ts';
import type { RequestId } from '../mcp/message.ts';
import { discovery } from '../mcp/methods.ts';
import { ProxyError, proxyErrors } from './errors.ts';
import type { IncomingRequest, Layer, ProxyResponse, RequestRecord } from './exchange.ts';

/** The one place where an error becomes a response. */
export function rescue(report: (error: unknown) => void): Layer<IncomingRequest> {
  return (inner) =>
    async function rescueErrors(request) {
      try {
        return await inner(request);
      } catch (error) {
        return answerError(error, request, report);
      }
    };
}

export function answerError(
  error: unknown,
  { record }: Pick<IncomingRequest, 'record'>,
  report: (error: unknown) => void,
): ProxyResponse {
  const rescued = describe(error);
  if (rescued.unexpected) report(error);
  record.decision = rescued.decision;
  record.rpcStatus = rescued.rpcCode;
  return isUnanswered(record)
    ? refuse(rescued)
    : respond(rescued, statusOf(rescued, record), requestIdOf(record, error));
}

interface Rescued {
  readonly status: number;
  readonly isAnswer: boolean;
  readonly decision: RequestDecision;
  readonly rpcCode: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly retryAfterSeconds: number | undefined;
  readonly data?: object | undefined;
  readonly unexpected: boolean;
}

function describe(error: unknown): Rescued {
  if (error instanceof ProxyError) {
    const { message, headers, retryAfterSeconds, data } = error;
    return { ...proxyErrors[error.code], message, headers, retryAfterSeconds, data, unexpected: false };
  }
  if (error instanceof LeaseError) return describe(new ProxyError('BrokerUnavailable', brokerUnavailable));
  return {
    status: 500,
    isAnswer: true,
    decision: 'upstreamUnavailable',
    rpcCode: rpcCodes.internal,
    message: 'The proxy failed. Its log says why.',
    headers: {},
    retryAfterSeconds: undefined,
    unexpected: true,
  };
}

export const brokerUnavailable =
  'Your keys cannot be looked up right now, so the request was not forwarded. Try again in a few seconds.';

/**
 * The question which revision a server speaks gets the status: clients take a JSON-RPC error for the answer of a server that does
 * not know the question, and go on in the legacy era.
 */
function statusOf({ status, isAnswer }: Rescued, { message }: RequestRecord): number {
  return isAnswer && message?.kind === 'request' && message.method !== discovery ? 200 : status;
}

function requestIdOf(record: RequestRecord, error: unknown): RequestId | undefined {
  if (error instanceof ProxyError && error.requestId !== undefined) return error.requestId;
  return record.message?.kind === 'request' ? record.message.id : undefined;
}

/** JSON-RPC has no answer to a notification or to a response: there the status alone says it. */
function isUnanswered({ message }: RequestRecord): boolean {
  return message !== undefined && message.kind !== 'request';
}

function refuse(rescued: Rescued): ProxyResponse {
  return { status: rescued.status, headers: headersOf(rescued), body: undefined };
}

function respond(rescued: Rescued, status: number, id: RequestId | undefined): ProxyResponse {
  const { rpcCode, message, retryAfterSeconds, data: more } = rescued;
  const headers = headersOf(rescued);
  headers.set('content-type', 'application/json');
  // Official clients show the error, not the headers.
  const data = retryAfterSeconds === undefined ? {} : { data: { retryAfter: retryAfterSeconds, ...more } };
  return { status, headers, body: rpcErrorBody({ code: rpcCode, message, ...data }, id) };
}

function headersOf({ headers, retryAfterSeconds }: Rescued): Fields {
  const all = new Fields(headers);
  if (retryAfterSeconds !== undefined) all.set('retry-after', String(retryAfterSeconds));
  return all;
}
