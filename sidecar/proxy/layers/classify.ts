import type { Message, MessageProblem, RequestId } from '../../mcp/message.ts';
import { parseMessage } from '../../mcp/message.ts';
import { findHeaderMismatch } from '../../mcp/standard-headers.ts';
import { depthMax } from '../../mcp/strict-json.ts';
import { ProxyError, type ProxyErrorCode } from '../errors.ts';
import type { BoundedRequest, ClassifiedRequest, Layer } from '../exchange.ts';

/** Learns what is asked, from the body alone, and refuses what two parsers could read in two ways. */
export function classify(): Layer<BoundedRequest, ClassifiedRequest> {
  return (inner) =>
    function classifyMessage(request) {
      const message = request.method === 'POST' ? readMessage(request) : refuseBody(request);
      request.record.message = message;
      return inner({ ...request, message });
    };
}

function readMessage(request: BoundedRequest): Message {
  checkMediaType(request.headers.get('content-type'));
  const parsed = parseMessage(request.bytes);
  if (parsed.kind === 'invalid') throw invalidMessage(parsed.problem, parsed.id);
  const { message } = parsed;
  const mismatch = message.kind === 'request' ? findHeaderMismatch(message, request.headers) : undefined;
  if (mismatch !== undefined && message.kind === 'request') {
    throw new ProxyError('HeaderMismatch', `The header ${mismatch} does not repeat what the body says.`, {
      requestId: message.id,
    });
  }
  return message;
}

/** Another charset would let the upstream read other text than the proxy did. */
const mediaType = /^application\/json *(?:; *charset="?utf-8"? *)?$/i;

function checkMediaType(contentType: string | null): void {
  if (contentType !== null && mediaType.test(contentType)) return;
  throw new ProxyError('MediaTypeUnsupported', 'Send the message as application/json in UTF-8.');
}

function refuseBody(request: BoundedRequest): undefined {
  if (request.bytes.byteLength === 0) return undefined;
  throw new ProxyError('BodyUnexpected', `A ${request.method} request has no body.`);
}

const problems: Record<MessageProblem, { readonly code: ProxyErrorCode; readonly message: string }> = {
  NotUtf8: { code: 'NotJson', message: 'The body is not valid UTF-8.' },
  ByteOrderMark: { code: 'NotJson', message: 'The body begins with a byte order mark.' },
  Syntax: { code: 'NotJson', message: 'The body is not valid JSON.' },
  TooDeep: { code: 'InvalidMessage', message: `The body is nested deeper than ${depthMax} levels.` },
  DuplicateKey: { code: 'InvalidMessage', message: 'An object in the body has the same key twice.' },
  Batch: { code: 'InvalidMessage', message: 'Send one message at a time: batches are not supported.' },
  NotJsonRpc: { code: 'InvalidMessage', message: 'The body is not a JSON-RPC 2.0 request, notification or response.' },
  BadId: { code: 'InvalidMessage', message: 'The id of a message is a string or an integer.' },
  BadMethod: { code: 'InvalidMessage', message: 'The method of a message is a string.' },
  BadParams: { code: 'InvalidMessage', message: 'The params of a message are an object.' },
};

function invalidMessage(problem: MessageProblem, requestId: RequestId | undefined): ProxyError {
  const { code, message } = problems[problem];
  return new ProxyError(code, message, { requestId });
}
