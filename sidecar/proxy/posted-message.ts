import { Fields } from '../http1/fields.ts';
import type { Message } from '../mcp/message.ts';
import { initialize } from '../mcp/methods.ts';
import { ProxyError } from './errors.ts';
import type { BoundToSession, ClassifiedRequest, Handler, ProxyResponse } from './exchange.ts';
import type { MessageStream } from './message-streams.ts';
import { hashOf, ownerOf } from './sessions.ts';

export interface PostedMessage {
  readonly request: ClassifiedRequest;
  /** Whose stream it is that messages to this target belong to; nobody's when there is none. */
  readonly stream: MessageStream | undefined;
  readonly inner: Handler<BoundToSession>;
  /** Whether the client of an `initialize` opens URLs for its user. */
  readonly opensUrls: (request: ClassifiedRequest) => boolean;
  /** Turns what went wrong into an answer, as `rescue` does for requests whose answer is the response. */
  readonly rescue: (error: unknown, request: ClassifiedRequest) => ProxyResponse;
}

/**
 * A message of the transport of 2024-11-05. Only who opened the stream may post to where the server said there. What the server
 * answers comes on the stream, and so has what we answer ourselves: a client does not look at the body of a 200 here.
 */
export function postMessage({ request, stream, inner, opensUrls, rescue }: PostedMessage): Promise<ProxyResponse> {
  const { record } = request;
  if (stream?.target === undefined || stream.owner !== ownerOf(record)) {
    throw new ProxyError('SessionNotFound', 'Session not found');
  }
  record.sessionIdHash = hashOf(stream.target);
  const bound = { ...request, session: stream.session, messagePath: request.path };
  return request.message?.kind === 'request' ? askOnStream(stream, bound, { inner, opensUrls, rescue }) : inner(bound);
}

type Asking = Pick<PostedMessage, 'inner' | 'opensUrls' | 'rescue'>;

async function askOnStream(stream: MessageStream, request: BoundToSession, asking: Asking): Promise<ProxyResponse> {
  const { record, message } = request;
  const held = message?.kind === 'request' ? stream.hold(record, message.id) : undefined;
  const response = await answerOf(request, asking);
  // Ours too where the upstream refused a key, or the lack of one: then we say so.
  const isOurs = record.upstreamFirstByteMs === undefined || record.decision !== 'forwarded';
  const isAnswerToCome = !isOurs && isSuccess(response);
  if (isAnswerToCome && isInitialize(message)) {
    stream.session = { owner: stream.owner, elicitsUrl: asking.opensUrls(request) };
  }
  if (!isAnswerToCome) held?.release();
  return isOurs && isSuccess(response) ? answerOnStream(stream, response) : response;
}

async function answerOf(request: BoundToSession, { inner, rescue }: Asking): Promise<ProxyResponse> {
  try {
    return await inner(request);
  } catch (error) {
    return rescue(error, request);
  }
}

function isSuccess({ status }: ProxyResponse): boolean {
  return status >= 200 && status < 300;
}

function isInitialize(message: Message | undefined): boolean {
  return message?.kind === 'request' && message.method === initialize;
}

function answerOnStream(stream: MessageStream, response: ProxyResponse): ProxyResponse {
  if (!(response.body instanceof Uint8Array) || !stream.answer(response.body)) return response;
  return { status: 202, headers: new Fields(), body: undefined };
}
