import type { RequestEvent } from '../../contract/audit.ts';
import type { ServerRef } from '../../contract/lease.ts';
import { ProxyError } from '../errors.ts';
import type { IncomingRequest, Layer } from '../exchange.ts';
import { requestEvent } from '../record.ts';

export interface AuditQueue {
  /** A place for one event, kept until it is filled; `undefined` when the queue is full. */
  reserve(): ((event: RequestEvent) => void) | undefined;
}

/** One event for each request, at its end. The place is taken at its beginning: what cannot be recorded is not done. */
export function audit(options: { readonly queue: AuditQueue; readonly server: ServerRef }): Layer<IncomingRequest> {
  return (inner) =>
    function auditRequest(request) {
      const fill = options.queue.reserve();
      if (fill === undefined) {
        throw new ProxyError(
          'AuditUnavailable',
          'Requests cannot be recorded right now, so this one was not forwarded.',
        );
      }
      request.record.whenEnded.push((ended) => fill(requestEvent(ended, options.server)));
      return inner(request);
    };
}
