import type { EndedRequest, IncomingRequest, Layer } from '../exchange.ts';

export interface RequestMetrics {
  begin(): void;
  end(ended: EndedRequest): void;
}

/** Counts every request and how long it took. */
export function count(metrics: RequestMetrics): Layer<IncomingRequest> {
  return (inner) =>
    function countRequest(request) {
      metrics.begin();
      request.record.whenEnded.push((ended) => metrics.end(ended));
      return inner(request);
    };
}
