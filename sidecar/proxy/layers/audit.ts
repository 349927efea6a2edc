import type { RequestEvent } from '../../contract/audit.ts';
import type { ServerRef } from '../../contract/lease.ts';
import { auditUnavailable, ProxyError } from '../errors.ts';
import type { IncomingRequest, Layer, RequestRecord } from '../exchange.ts';
import { openingEvent, requestEvent } from '../record.ts';

export interface AuditQueue {
  /** Takes a place for one event, until it is filled; false when the queue is full. */
  reserve(): boolean;
  /** Fills a place. */
  fill(event: RequestEvent): void;
}

export interface AuditOptions {
  readonly queue: AuditQueue;
  readonly server: ServerRef;
  readonly clock: { readonly nowMs: () => number };
}

/**
 * One event for each request, at its end; a stream that stays open has one at its opening too. The place is taken at the beginning:
 * what cannot be recorded is not done.
 */
export function audit(options: AuditOptions): Layer<IncomingRequest> {
  return (inner) =>
    function auditRequest(request) {
      const { queue, server } = options;
      if (!queue.reserve()) throw auditUnavailable();
      const { record } = request;
      record.traceparent = request.headers.get('traceparent') ?? undefined;
      record.reportOpen = () => reportOpen(record, options);
      record.whenEnded.push((ended) => queue.fill(requestEvent(ended, server)));
      return inner(request);
    };
}

/**
 * For a proxy in front of another one, which has every request on record that reaches it: one event for each that is refused before.
 * Without a place there is none, as a refusal needs no record to be safe.
 */
export function auditRefusals({ queue, server }: AuditOptions): Layer<IncomingRequest> {
  return (inner) =>
    async function auditRefusedRequest(request) {
      try {
        return await inner(request);
      } catch (error) {
        const { record } = request;
        const isGone = error instanceof ProxyError && error.code === 'ClientClosed';
        if (!isGone && queue.reserve()) record.whenEnded.push((ended) => queue.fill(requestEvent(ended, server)));
        throw error;
      }
    };
}

function reportOpen(record: RequestRecord, { queue, server, clock }: AuditOptions): boolean {
  if (!queue.reserve()) return false;
  record.isOpen = true;
  const durationMs = clock.nowMs() - record.startedMs;
  queue.fill(openingEvent({ record, httpStatus: 200, responseBytes: 0, durationMs }, server));
  return true;
}
