import type { KeySource, ServerRef, Subject } from './lease.ts';

/**
 * `POST /v1/audit` body: `{ events: RequestEvent[] }`, at most `auditBatchMax`. The broker answers `{ accepted: n }` once all are
 * durable; ids make a repeated batch harmless (exactly one record an id).
 */
export interface RequestEvent {
  /** UUID, made by the sidecar when the request arrives. */
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly at: string;
  readonly type: 'request';
  readonly server: ServerRef;
  readonly subject?: Subject;
  readonly leaseId?: string;
  readonly keyVersion?: number;
  /** Whose key was put into the request. Absent: none was. */
  readonly keySource?: KeySource;
  readonly httpMethod: HttpMethod;
  /** JSON-RPC method (`tools/call`), absent for GET and DELETE. */
  readonly method?: string;
  /** Which generation of MCP the message belongs to; absent where that cannot be told from it. */
  readonly era?: RequestEra;
  /** Of `tools/call`. */
  readonly tool?: string;
  /** Of `prompts/get`. */
  readonly prompt?: string;
  /** Of `resources/read`, without user, query and fragment: those can hold credentials. */
  readonly uri?: string;
  /** Of `tasks/*`, or of the task that the answer began. */
  readonly taskId?: string;
  readonly rpcId?: string;
  /** SHA-256 of the id of a session, base64url: the id itself is a credential to some servers. */
  readonly sessionIdHash?: string;
  /** Of W3C Trace Context, 32 hexadecimal digits. */
  readonly traceId?: string;
  readonly decision: RequestDecision;
  /** What went to the client. 0: the client left first. */
  readonly httpStatus: number;
  /** Code of the JSON-RPC error, 0 for a result; absent when no answer was seen. */
  readonly rpcStatus?: number;
  /** What a tool's result says of itself. */
  readonly isError?: boolean;
  /** How often the server sent the user's key back, and it was masked. Absent: never. */
  readonly echoes?: number;
  /** Whole milliseconds that the server took to begin its response. */
  readonly upstreamFirstByteMs?: number;
  /** Whole milliseconds, from the arrival of the head to the last byte of the response. */
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** A stream that a client keeps open has two events, one at its opening and one at its end. */
  readonly phase?: 'open' | 'close';
  /** Id of the event at the opening, in both. */
  readonly streamId?: string;
}

/** `modern`: revision 2026-07-28 and later; `legacy`: everything before. */
export type RequestEra = 'legacy' | 'modern';

/** A method outside RFC 9110 is `OTHER`. */
export type HttpMethod = 'POST' | 'GET' | 'DELETE' | 'PUT' | 'PATCH' | 'HEAD' | 'OPTIONS' | 'OTHER';

export type RequestDecision =
  | 'forwarded'
  /** The proxy itself said where to log in (RFC 9728). */
  | 'metadata'
  | 'unauthenticated'
  | 'keyMissing'
  | 'keyRejected'
  | 'denied'
  | 'toolDenied'
  /** A limit of the user is reached. */
  | 'limited'
  | 'badRequest'
  | 'tooLarge'
  | 'brokerUnavailable'
  | 'upstreamUnavailable'
  | 'clientClosed';

export const auditBatchMax = 500;

/** Longest text of an event that a client or a server wrote; the sidecar cuts what is longer. */
export const auditTextCharsMax = 256;

/** Largest `POST /v1/audit` body. */
export const auditBatchBytesMax = 4_194_304;
