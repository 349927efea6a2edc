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
  /** `POST`, `GET`, `DELETE`. */
  readonly httpMethod: string;
  /** JSON-RPC method (`tools/call`), absent for GET and DELETE. */
  readonly method?: string;
  readonly tool?: string;
  readonly rpcId?: string;
  readonly decision: RequestDecision;
  /** What went to the client. 0: the client left first. */
  readonly httpStatus: number;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

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
