import type { Fields } from '../../http1/fields.ts';
import type { LeavingSignal } from '../../http1/leaving.ts';
import { isRepeatable } from '../../mcp/methods.ts';
import { ProxyError } from '../errors.ts';
import { unanswered } from '../unanswered.ts';
import type { Handler, OutgoingRequest, ProxyResponse } from '../exchange.ts';
import { shareOf } from '../user-shares.ts';

export interface UpstreamRequest {
  readonly method: string;
  /** As the layers above have allowed it. */
  readonly path: string;
  /** The path is that of the endpoint, which a server may have elsewhere; otherwise the server has named it for messages. */
  readonly isEndpoint: boolean;
  /** With its `?`, or empty. The upstream's address is fixed. */
  readonly query: string;
  readonly headers: Fields;
  readonly body: Uint8Array | undefined;
  /** As `shareOf` names one. */
  readonly user: string;
  readonly signal: LeavingSignal;
  /** Whether it may be sent again when a connection that was used before breaks off without an answer. */
  readonly repeatable: boolean;
}

export type Upstream = (request: UpstreamRequest) => Promise<ProxyResponse>;

/** Sends the request on, byte for byte. Nothing that has an effect is sent twice. */
export function forward(upstream: Upstream, clock: { readonly nowMs: () => number }): Handler<OutgoingRequest> {
  return async function forwardToUpstream(request) {
    const { method, query, signal, bytes, outgoing: headers } = request;
    // The HTTP client writes these two for the new connection.
    headers.delete('host');
    headers.delete('content-length');
    const body = method === 'POST' ? bytes : undefined;
    try {
      const startedMs = clock.nowMs();
      const response = await upstream({
        method,
        path: request.path,
        isEndpoint: request.messagePath === undefined,
        query,
        headers,
        body,
        user: shareOf(request.record.subject),
        signal,
        repeatable: mayRepeat(request),
      });
      request.record.upstreamFirstByteMs = clock.nowMs() - startedMs;
      request.record.upstreamStatus = response.status;
      return response;
    } catch (cause) {
      if (cause instanceof ProxyError) throw cause;
      if (signal.aborted) throw new ProxyError('ClientClosed', 'The client has gone.', { cause });
      throw unanswered(cause);
    }
  };
}

/** HTTP has GET and DELETE safe to repeat (RFC 9110, 9.2.2). */
function mayRepeat({ method, message }: OutgoingRequest): boolean {
  if (message === undefined) return method !== 'POST';
  return message.kind === 'request' && isRepeatable(message.method);
}
