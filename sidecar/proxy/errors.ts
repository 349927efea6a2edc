import type { RequestDecision } from '../contract/audit.ts';
import { rpcCodes } from '../mcp/answers.ts';
import type { RequestId } from '../mcp/message.ts';

/**
 * Everything that can end a request before the upstream answers. One row an error; `rescue.ts` turns them into responses. `row`: the
 * status says it to whoever asked. `answered`: an answer to a request that was read, HTTP 200 with its id, and the status to others
 * (docs/decisions/0008-errors-are-answers.md).
 */
export const proxyErrors = {
  HeadTooLarge: row(431, 'tooLarge', rpcCodes.tooLarge),
  BodyTooLarge: row(413, 'tooLarge', rpcCodes.tooLarge),
  BodyTimeout: row(408, 'badRequest', rpcCodes.bodyTimeout),
  PathNotFound: row(404, 'badRequest', rpcCodes.notFound),
  MethodNotAllowed: row(405, 'badRequest', rpcCodes.methodNotAllowed),
  HostNotAllowed: row(403, 'denied', rpcCodes.denied),
  OriginNotAllowed: row(403, 'denied', rpcCodes.denied),
  Unauthenticated: row(401, 'unauthenticated', rpcCodes.unauthenticated),
  AccessDenied: row(403, 'denied', rpcCodes.denied),
  SessionNotFound: row(404, 'denied', rpcCodes.sessionNotFound),
  /** As servers say that they know no such task. */
  TaskNotFound: row(200, 'denied', rpcCodes.invalidParams),
  /** The client answers what the server did not ask it. */
  NotAsked: row(400, 'badRequest', rpcCodes.invalidRequest),
  /** The server was asked for a stream, and said something else. */
  StreamNotOffered: row(405, 'forwarded', rpcCodes.methodNotAllowed),
  MediaTypeUnsupported: row(415, 'badRequest', rpcCodes.mediaType),
  BodyUnexpected: row(400, 'badRequest', rpcCodes.invalidRequest),
  NotJson: row(400, 'badRequest', rpcCodes.parseError),
  InvalidMessage: row(400, 'badRequest', rpcCodes.invalidRequest),
  InvalidEnvelope: row(400, 'badRequest', rpcCodes.invalidParams),
  HeaderMismatch: row(400, 'badRequest', rpcCodes.headerMismatch),
  /** As servers of the official SDK answer it. */
  RequestStateInvalid: row(200, 'badRequest', rpcCodes.invalidParams),
  /** An answer to the request, not a failure of the connection. */
  ToolDenied: row(200, 'toolDenied', rpcCodes.toolDenied),
  Limited: answered(429, 'limited', rpcCodes.limited),
  LimitsUnavailable: answered(503, 'brokerUnavailable', rpcCodes.limitsUnavailable),
  BrokerUnavailable: answered(503, 'brokerUnavailable', rpcCodes.brokerUnavailable),
  AuditUnavailable: answered(503, 'brokerUnavailable', rpcCodes.auditUnavailable),
  Overloaded: answered(503, 'denied', rpcCodes.overloaded),
  UpstreamUnavailable: answered(502, 'upstreamUnavailable', rpcCodes.upstreamUnavailable),
  UpstreamTimeout: answered(504, 'upstreamUnavailable', rpcCodes.upstreamTimeout),
  UpstreamConnectTimeout: answered(504, 'upstreamUnavailable', rpcCodes.upstreamConnectTimeout),
  UpstreamProtocol: answered(502, 'upstreamUnavailable', rpcCodes.upstreamProtocol),
  ForwardProxyFailed: answered(502, 'upstreamUnavailable', rpcCodes.forwardProxyFailed),
  DestinationRefused: answered(502, 'upstreamUnavailable', rpcCodes.upstreamUnavailable),
  ListUnreadable: answered(502, 'upstreamUnavailable', rpcCodes.listUnreadable),
  ResponseEncoded: answered(502, 'upstreamUnavailable', rpcCodes.responseEncoded),
  /** Nobody reads this response. */
  ClientClosed: row(499, 'clientClosed', rpcCodes.internal),
} as const;

export type ProxyErrorCode = keyof typeof proxyErrors;

interface ErrorFacts {
  readonly status: number;
  /** A request that was read gets HTTP 200. */
  readonly isAnswer: boolean;
  readonly decision: RequestDecision;
  readonly rpcCode: number;
}

function row(status: number, decision: RequestDecision, rpcCode: number): ErrorFacts {
  return { status, isAnswer: false, decision, rpcCode };
}

function answered(status: number, decision: RequestDecision, rpcCode: number): ErrorFacts {
  return { status, isAnswer: true, decision, rpcCode };
}

/** What passes by itself. */
const retryAfterSeconds: { readonly [Code in ProxyErrorCode]?: number } = {
  BrokerUnavailable: 1,
  AuditUnavailable: 1,
  Overloaded: 1,
  LimitsUnavailable: 1,
};

export interface ProxyErrorOptions {
  readonly cause?: unknown;
  /** For the response, for example the challenge of a 401. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the refused message, where it could be read. */
  readonly requestId?: RequestId | undefined;
  /** When it is worth another try; absent where nobody knows. */
  readonly retryAfterSeconds?: number;
  /** More for programs, beside `retryAfter`. */
  readonly data?: object;
}

/** `message` is a sentence for the person at the client; it never holds a credential, a key or an address of ours. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestId: RequestId | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly data: object | undefined;

  constructor(code: ProxyErrorCode, message: string, options: ProxyErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.name = 'ProxyError';
    this.code = code;
    this.headers = options.headers ?? {};
    this.requestId = options.requestId;
    this.retryAfterSeconds = options.retryAfterSeconds ?? retryAfterSeconds[code];
    this.data = options.data;
  }
}

/** The rest of the body is not worth reading, so the connection cannot be used again. */
export const lastRequest: Readonly<Record<string, string>> = { connection: 'close' };

export function bodyTooLarge(bytesMax: number): ProxyError {
  return new ProxyError('BodyTooLarge', `The request body is larger than ${bytesMax} bytes.`, { headers: lastRequest });
}

export function auditUnavailable(): ProxyError {
  return new ProxyError('AuditUnavailable', 'Requests cannot be recorded right now, so this one was not forwarded.');
}

/** For a list that cannot be shown to anybody, as nobody knows what is in it. */
export function listUnreadable(): ProxyError {
  return new ProxyError(
    'ListUnreadable',
    'The list of the server cannot be read, so nobody knows what of it you may see.',
  );
}
