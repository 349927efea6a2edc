import type { Message, MessageProblem, RequestId } from '../../mcp/message.ts';
import { parseMessage, protocolVersionKey } from '../../mcp/message.ts';
import { compareHeaders } from '../../mcp/standard-headers.ts';
import { depthMax } from '../../mcp/key-list.ts';
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
  // Known from here on, also where it is refused: what is told to the client depends on its kind.
  request.record.message = parsed.message;
  const compared = compareHeaders(parsed.message, request.headers);
  switch (compared.kind) {
    case 'mismatch':
      throw new ProxyError('HeaderMismatch', `The header ${compared.header} does not repeat what the body says.`);
    case 'claimMissing':
      throw new ProxyError(
        'InvalidEnvelope',
        `The header MCP-Protocol-Version names a revision that has to be in the body as well, in params._meta["${protocolVersionKey}"].`,
      );
    case 'request':
    case 'notification':
    case 'response':
      return compared;
  }
}

/** Another charset would let the upstream read other text than the proxy did. */
const mediaType = /^application\/json *(?:; *charset="?utf-8"? *)?$/i;

function checkMediaType(contentType: string | null): void {
  if (contentType !== null && mediaType.test(contentType)) return;
  throw new ProxyError('MediaTypeUnsupported', 'Send the message as application/json in UTF-8.');
}

function refuseBody(request: BoundedRequest): undefined {
  // The HTTP library does not hand out the body of a GET, and a chunked one declares no length.
  if (request.bytes.byteLength === 0 && request.body.declaredBytes === 0) return undefined;
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
  LookalikeKey: {
    code: 'InvalidMessage',
    message:
      'A key in the body is one that the protocol knows, in other letters: some servers would take it for that one.',
  },
  BadId: { code: 'InvalidMessage', message: 'The id of a message is a string or an integer.' },
  BadMethod: { code: 'InvalidMessage', message: 'The method of a message is a string.' },
  BadParams: { code: 'InvalidMessage', message: 'The params of a message are an object.' },
  BadName: { code: 'InvalidMessage', message: 'The name, URI or task id in the params is no valid text.' },
  BadProtocolVersion: {
    code: 'InvalidEnvelope',
    message: `params._meta["${protocolVersionKey}"] is a string.`,
  },
};

function invalidMessage(problem: MessageProblem, requestId: RequestId | undefined): ProxyError {
  const { code, message } = problems[problem];
  return new ProxyError(code, message, { requestId });
}
