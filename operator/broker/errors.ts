import { contractVersion } from '#contract/version.ts';

/** Every way in which a call fails before there is a decision about a user. */
export type BrokerErrorCode =
  | 'ERR_NOT_FOUND'
  | 'ERR_METHOD_NOT_ALLOWED'
  | 'ERR_MEDIA_TYPE'
  | 'ERR_CONTRACT_VERSION'
  | 'ERR_BODY_INVALID'
  | 'ERR_BODY_TOO_LARGE'
  | 'ERR_CLIENT_GONE'
  | 'ERR_POD_UNAUTHENTICATED'
  | 'ERR_POD_FORBIDDEN'
  | 'ERR_SERVER_NOT_FOUND'
  | 'ERR_TOO_MANY_SUBJECTS'
  | 'ERR_TOO_MANY_FAILURES'
  | 'ERR_TOO_MANY_STREAMS'
  | 'ERR_BUSY'
  | 'ERR_DRAINING'
  | 'ERR_IDENTITY_UNAVAILABLE'
  | 'ERR_STORE_UNAVAILABLE'
  | 'ERR_AUDIT_UNAVAILABLE'
  | 'ERR_LIMITS_UNAVAILABLE'
  | 'ERR_INTERNAL';

interface ErrorFacts {
  readonly status: number;
  readonly message: string;
}

const oldest = Math.max(1, contractVersion - 2);

/** Status and message of each code. Messages are constant: no answer repeats what was sent. */
export const errorFacts: Readonly<Record<BrokerErrorCode, ErrorFacts>> = {
  ERR_NOT_FOUND: { status: 404, message: 'There is nothing here' },
  ERR_METHOD_NOT_ALLOWED: { status: 405, message: 'The method is not allowed here' },
  ERR_MEDIA_TYPE: { status: 415, message: 'The body must be application/json' },
  ERR_CONTRACT_VERSION: { status: 400, message: `Contract versions ${oldest} to ${contractVersion} are served` },
  ERR_BODY_INVALID: { status: 400, message: 'The request does not keep to the contract' },
  ERR_BODY_TOO_LARGE: { status: 413, message: 'The body is too large' },
  ERR_CLIENT_GONE: { status: 400, message: 'The request ended early' },
  ERR_POD_UNAUTHENTICATED: { status: 401, message: 'The pod token does not prove a pod' },
  ERR_POD_FORBIDDEN: { status: 403, message: 'The pod may not act for this server' },
  ERR_SERVER_NOT_FOUND: { status: 404, message: 'There is no such McpServer' },
  ERR_TOO_MANY_SUBJECTS: { status: 429, message: 'The pod asks for too many different users' },
  ERR_TOO_MANY_FAILURES: { status: 429, message: 'The pod shows too many credentials that are not good' },
  ERR_TOO_MANY_STREAMS: { status: 429, message: 'Too many watch streams are open' },
  ERR_BUSY: { status: 503, message: 'Too many requests are under way' },
  ERR_DRAINING: { status: 503, message: 'This replica is shutting down' },
  ERR_IDENTITY_UNAVAILABLE: { status: 503, message: 'The API server cannot be asked about the pod token' },
  ERR_STORE_UNAVAILABLE: { status: 503, message: 'The API server cannot be asked for a stored key' },
  ERR_AUDIT_UNAVAILABLE: { status: 503, message: 'The audit log takes no events' },
  ERR_LIMITS_UNAVAILABLE: { status: 503, message: 'The store of limits takes no counts' },
  ERR_INTERNAL: { status: 500, message: 'Internal error' },
};

/** The only error that a route throws on purpose. */
export class BrokerError extends Error {
  readonly code: BrokerErrorCode;

  constructor(code: BrokerErrorCode, options?: ErrorOptions) {
    super(errorFacts[code].message, options);
    this.name = 'BrokerError';
    this.code = code;
  }
}

/** What is answered for whatever a route threw. Everything unknown is `ERR_INTERNAL`, and says no more. */
export function rescue(error: unknown): {
  readonly code: BrokerErrorCode;
  readonly status: number;
  readonly body: object;
} {
  const code = error instanceof BrokerError ? error.code : 'ERR_INTERNAL';
  const { status, message } = errorFacts[code];
  return { code, status, body: { error: { code, message } } };
}
