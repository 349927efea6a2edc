import { Http1Error } from '../http1/http1-error.ts';
import { ProxyError } from './errors.ts';

/** What became of a request that its server did not answer, in words for the person at the client. */
export function unanswered(cause: unknown): ProxyError {
  switch (cause instanceof Http1Error ? cause.code : undefined) {
    case 'AnswerTimeout':
      return new ProxyError('UpstreamTimeout', 'The MCP server behind the proxy did not answer in time.', { cause });
    case 'ConnectTimeout':
      return new ProxyError('UpstreamConnectTimeout', 'The MCP server accepted no connection in time.', { cause });
    case 'OtherProtocol':
      return new ProxyError('UpstreamProtocol', http2Only, { cause });
    case 'BrokenOff':
    case 'Cancelled':
    case 'ConnectFailed':
    case 'HeadTooLong':
    case 'Malformed':
    case 'TooManyConnections':
    case undefined:
      return new ProxyError('UpstreamUnavailable', 'The MCP server behind the proxy did not answer.', { cause });
  }
}

const http2Only =
  'The MCP server speaks HTTP/2 only, and it is asked in HTTP/1.1. Its administrator has to let HTTP/1.1 in, at the server or at what stands in front of it.';
