import { ProxyError } from '../errors.ts';
import type { Handler, OutgoingRequest, ProxyResponse } from '../exchange.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** As the layers above have allowed it. */
  readonly path: string;
  /** With its `?`, or empty. The upstream's address is fixed. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

export type Upstream = (request: UpstreamRequest) => Promise<ProxyResponse>;

/** Sends the request on, byte for byte. Nothing is sent twice. */
export function forward(upstream: Upstream, clock: { readonly nowMs: () => number }): Handler<OutgoingRequest> {
  return async function forwardToUpstream(request) {
    const { method, query, signal, bytes, outgoing: headers } = request;
    // The HTTP client writes these two for the new connection.
    headers.delete('host');
    headers.delete('content-length');
    const body = method === 'POST' ? bytes : undefined;
    try {
      const startedMs = clock.nowMs();
      const response = await upstream({ method, path: request.path, query, headers, body, signal });
      request.record.upstreamFirstByteMs = clock.nowMs() - startedMs;
      return response;
    } catch (cause) {
      if (signal.aborted) throw new ProxyError('ClientClosed', 'The client has gone.', { cause });
      throw new ProxyError('UpstreamUnavailable', 'The MCP server behind the proxy did not answer.', { cause });
    }
  };
}
