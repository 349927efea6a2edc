import { ProxyError } from '../errors.ts';
import type { Handler, OutgoingRequest, ProxyResponse } from '../exchange.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** With its `?`, or empty. The upstream's address and path are fixed. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

export type Upstream = (request: UpstreamRequest) => Promise<ProxyResponse>;

/** Sends the request on, byte for byte. Nothing is sent twice. */
export function forward(upstream: Upstream): Handler<OutgoingRequest> {
  return async function forwardToUpstream(request) {
    const { method, query, signal, bytes, outgoing: headers } = request;
    // The HTTP client writes these two for the new connection.
    headers.delete('host');
    headers.delete('content-length');
    const body = method === 'POST' ? bytes : undefined;
    try {
      return await upstream({ method, query, headers, body, signal });
    } catch (cause) {
      if (signal.aborted) throw new ProxyError('ClientClosed', 'The client has gone.', { cause });
      throw new ProxyError('UpstreamUnavailable', 'The MCP server behind the proxy did not answer.', { cause });
    }
  };
}
