import { Http1Error, type Http1ErrorCode } from '../http1/http1-error.ts';
import { ProxyError, type ProxyErrorCode } from './errors.ts';

/** What became of a request that its server did not answer, in words for the person at the client. */
export function unanswered(cause: unknown): ProxyError {
  const [code, message] = cause instanceof Http1Error ? reasons[cause.code] : noAnswer;
  return new ProxyError(code, message, { cause });
}

type Reason = readonly [ProxyErrorCode, string];

const noAnswer: Reason = ['UpstreamUnavailable', 'The MCP server behind the proxy did not answer.'];

const reasons: Readonly<Record<Http1ErrorCode, Reason>> = {
  AnswerTimeout: ['UpstreamTimeout', 'The MCP server behind the proxy did not answer in time.'],
  ConnectTimeout: ['UpstreamConnectTimeout', 'The MCP server accepted no connection in time.'],
  OtherProtocol: [
    'UpstreamProtocol',
    'The MCP server speaks HTTP/2 only, and it is asked in HTTP/1.1. Its administrator has to let HTTP/1.1 in, at the server or at what stands in front of it.',
  ],
  ProxyFailed: [
    'ForwardProxyFailed',
    'The forward proxy on the way to the MCP server did not let the request through. An administrator of the cluster finds its answer in the log of the gateway.',
  ],
  BrokenOff: noAnswer,
  Cancelled: noAnswer,
  ConnectFailed: noAnswer,
  HeadTooLong: noAnswer,
  Malformed: noAnswer,
  TooManyConnections: noAnswer,
};
