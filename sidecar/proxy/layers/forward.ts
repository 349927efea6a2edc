import { ProxyError } from '../errors.ts';
import type { BoundedRequest, Handler, ProxyResponse } from '../exchange.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** With its `?`, or empty. The upstream's address and path are fixed. */
  readonly query: string;
  readonly headers: Headers;
  readonly body: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

export type Upstream = (request: UpstreamRequest) => Promise<ProxyResponse>;

/** Sends the request on, byte for byte, with the headers of this hop replaced (RFC 9110, 7.6.1). Nothing is sent twice. */
export function forward(upstream: Upstream): Handler<BoundedRequest> {
  return async function forwardToUpstream(request) {
    const { method, query, signal, bytes } = request;
    const headers = withoutHopByHop(request.headers);
    // The HTTP client writes these two for the new connection.
    headers.delete('host');
    headers.delete('content-length');
    const body = method === 'POST' ? bytes : undefined;
    try {
      const response = await upstream({ method, query, headers, body, signal });
      return { ...response, headers: withoutHopByHop(response.headers) };
    } catch (cause) {
      if (signal.aborted) throw new ProxyError('ClientClosed', 'The client has gone.', { cause });
      throw new ProxyError('UpstreamUnavailable', 'The MCP server behind the proxy did not answer.', { cause });
    }
  };
}

const hopByHop = [
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

function withoutHopByHop(original: Headers): Headers {
  const headers = new Headers(original);
  for (const name of headers.get('connection')?.split(',') ?? []) deleteField(headers, name.trim());
  for (const name of hopByHop) headers.delete(name);
  return headers;
}

function deleteField(headers: Headers, name: string): void {
  // A nomination that is no field name nominates nothing.
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) headers.delete(name);
}
