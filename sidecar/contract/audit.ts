import type { ServerRef, Subject } from './lease.ts';

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
  readonly httpMethod: HttpMethod;
  /** JSON-RPC method (`tools/call`), absent for GET and DELETE. */
  readonly method?: string;
  readonly tool?: string;
  readonly rpcId?: string;
  readonly decision: RequestDecision;
  /** What went to the client. 0: the client left first. */
  readonly httpStatus: number;
  /** Whole milliseconds, from the arrival of the head to the last byte of the response. */
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** A method outside RFC 9110 is `OTHER`. */
export type HttpMethod = 'POST' | 'GET' | 'DELETE' | 'PUT' | 'PATCH' | 'HEAD' | 'OPTIONS' | 'OTHER';

export type RequestDecision =
  | 'forwarded'
  | 'unauthenticated'
  | 'keyMissing'
  | 'denied'
  | 'badRequest'
  | 'tooLarge'
  | 'brokerUnavailable'
  | 'upstreamUnavailable'
  | 'clientClosed';

export const auditBatchMax = 500;

/** Longest `method`, `tool`, `rpcId`, `leaseId` of an event; the sidecar cuts what is longer. */
export const auditTextCharsMax = 256;

/** Largest `POST /v1/audit` body. */
export const auditBatchBytesMax = 4_194_304;
