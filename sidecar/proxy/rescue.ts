import type { RequestDecision } from '../contract/audit.ts';
import { LeaseError } from '../leases/lease-error.ts';
import { rpcCodes, rpcErrorBody } from '../mcp/answers.ts';
import type { RequestId } from '../mcp/message.ts';
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
  return isUnanswered(record) ? refuse(rescued) : respond(rescued, requestIdOf(record, error));
}

interface Rescued {
  readonly status: number;
  readonly decision: RequestDecision;
  readonly rpcCode: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly unexpected: boolean;
}

function describe(error: unknown): Rescued {
  if (error instanceof ProxyError) {
    const { message, headers } = error;
    return { ...proxyErrors[error.code], message, headers: { ...retryHint(error), ...headers }, unexpected: false };
  }
  if (error instanceof LeaseError) return describe(new ProxyError('BrokerUnavailable', brokerUnavailable));
  return {
    status: 500,
    decision: 'upstreamUnavailable',
    rpcCode: rpcCodes.internal,
    message: 'The proxy failed. Its log says why.',
    headers: {},
    unexpected: true,
  };
}

export const brokerUnavailable =
  'Your keys cannot be looked up right now, so the request was not forwarded. Try again in a few seconds.';

function retryHint(error: ProxyError): Readonly<Record<string, string>> {
  return proxyErrors[error.code].status === 503 ? { 'retry-after': '1' } : {};
}

function requestIdOf(record: RequestRecord, error: unknown): RequestId | undefined {
  if (error instanceof ProxyError && error.requestId !== undefined) return error.requestId;
  return record.message?.kind === 'request' ? record.message.id : undefined;
}

/** JSON-RPC has no answer to a notification or to a response: there the status alone says it. */
function isUnanswered({ message }: RequestRecord): boolean {
  return message !== undefined && message.kind !== 'request';
}

function refuse({ status, headers }: Rescued): ProxyResponse {
  return { status, headers: new Headers(headers), body: undefined };
}

function respond(rescued: Rescued, id: RequestId | undefined): ProxyResponse {
  const headers = new Headers({ 'content-type': 'application/json', ...rescued.headers });
  return {
    status: rescued.status,
    headers,
    body: rpcErrorBody({ code: rescued.rpcCode, message: rescued.message }, id),
  };
}
