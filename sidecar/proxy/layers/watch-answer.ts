import type { Fields } from '../../http1/fields.ts';
import type { PolicySnapshot } from '../../contract/watch.ts';
import type { Completions } from '../../ladder/completions.ts';
import { AnswerScanner } from '../../mcp/answer-scanner.ts';
import type { EventLines } from '../../mcp/event-lines.ts';
import { StatusReader } from '../../mcp/status-reader.ts';
import type { RequestMessage } from '../../mcp/message.ts';
import { isSubscription, toolCall } from '../../mcp/methods.ts';
import { AnswerNotes, eventLines } from '../answer-notes.ts';
import type { Chunks } from '../chunks.ts';
import { auditUnavailable, ProxyError } from '../errors.ts';
import { EventChunks } from '../event-chunks.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import { isEventStream } from '../media-type.ts';
import { messageChunks, prefixHeader } from '../message-chunks.ts';
import type { MessageStreams } from '../message-streams.ts';
import type { Ownership } from '../ownership.ts';
import type { Pulse } from '../pulse.ts';
import type { Endpoint } from './check-target.ts';

export interface WatchAnswerOptions {
  readonly ownership: Ownership;
  readonly pulse: Pulse;
  readonly streams: MessageStreams;
  readonly endpoint: Endpoint;
  readonly policy: () => PolicySnapshot | undefined;
  readonly completions: Pick<Completions, 'listen'>;
}

/**
 * Looks at what the upstream answers while it passes: how the answer turned out, what the server asks its client, which tasks it
 * begins. Keeps event streams alive, and leaves no doubt for a client whether there is a stream.
 */
export function watchAnswer(options: WatchAnswerOptions): Layer<OutgoingRequest> {
  return (inner) =>
    async function watchUpstreamAnswer(request) {
      const opensMessages = request.method === 'GET' && options.policy()?.transport === 'SSE';
      // A server that knows where it is reached would put the prefix in front of its paths as well.
      if (opensMessages) request.outgoing.delete(prefixHeader);
      const response = await inner(request);
      if (opensMessages && canCarryMessages(response)) return openMessages(request, response, options);
      if (isEventStream(response.headers)) return watchEvents(request, response, options);
      if (request.method === 'GET' && isSuccess(response)) throw noStream(response);
      return request.message?.kind === 'request' && isJson(response.headers)
        ? watchJson(new AnswerNotes(request, options.ownership), readerFor(request.message), response)
        : response;
    };
}

/** Whether the stream stays open for as long as the client likes. */
export function isOpenEnded({ method, message }: OutgoingRequest): boolean {
  return method === 'GET' || (message?.kind === 'request' && isSubscription(message.method));
}

function isSuccess({ status }: ProxyResponse): boolean {
  return status >= 200 && status < 300;
}

function isJson(headers: Fields): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('application/json') === true && isPlain(headers);
}

function isPlain(headers: Fields): boolean {
  return (headers.get('content-encoding') ?? 'identity') === 'identity';
}

/** A client takes only 405 for "there is no stream"; any other answer it asks for again, every second. */
function noStream({ body }: ProxyResponse): ProxyError {
  if (isChunks(body)) body.cancel();
  return new ProxyError('StreamNotOffered', 'This server offers no stream to listen to.', {
    headers: { allow: 'POST' },
  });
}

function watchJson(notes: AnswerNotes, reader: AnswerReader, response: ProxyResponse): ProxyResponse {
  const { body } = response;
  if (body === undefined) return response;
  if (isChunks(body)) return { ...response, body: readAlong(body, reader, notes) };
  reader.feed(body);
  notes.take(reader.read());
  return response;
}

type AnswerReader = Pick<AnswerScanner, 'feed' | 'read'>;

/** Only the result of a tool says whether it failed, and whether it is a task: of other answers the beginning is enough. */
function readerFor({ method }: RequestMessage): AnswerReader {
  return method === toolCall ? new AnswerScanner() : new StatusReader();
}

function readAlong(source: Chunks, reader: AnswerReader, notes: AnswerNotes): Chunks {
  return {
    async read() {
      const chunk = await source.read();
      if (chunk === undefined) notes.take(reader.read());
      else reader.feed(chunk);
      return chunk;
    },
    cancel: () => source.cancel(),
  };
}

function canCarryMessages(response: ProxyResponse): boolean {
  return isEventStream(response.headers) && isPlain(response.headers) && isSuccess(response) && isChunks(response.body);
}

function openMessages(request: OutgoingRequest, response: ProxyResponse, options: WatchAnswerOptions): ProxyResponse {
  const { body, headers } = response;
  if (!isChunks(body)) return response;
  keepUnbuffered(headers);
  reportOpen(request, response);
  const { record } = request;
  // The stream is the session.
  record.endedSessions = [
    { begunMs: record.startedMs, endedMs: undefined, protocolVersion: '2024-11-05', errorType: undefined },
  ];
  return { ...response, body: messageChunks(body, request, options) };
}

function watchEvents(request: OutgoingRequest, response: ProxyResponse, options: WatchAnswerOptions): ProxyResponse {
  const { body, headers } = response;
  keepUnbuffered(headers);
  if (isOpenEnded(request) && isSuccess(response)) reportOpen(request, response);
  // A compressed stream has no place for a comment, and shows nothing.
  if (body === undefined || !isPlain(headers)) return response;
  const lines = eventLines(new AnswerNotes(request, options.ownership));
  if (isChunks(body)) return { ...response, body: eventChunks(request, response, { body, lines, ...options }) };
  lines.feed(body);
  return response;
}

type EventParts = WatchAnswerOptions & { readonly body: Chunks; readonly lines: EventLines };

/** The stream of a session is where its client is told of what it waits for. */
function eventChunks(
  request: OutgoingRequest,
  response: ProxyResponse,
  { body: source, lines, pulse, completions }: EventParts,
): Chunks {
  if (request.method !== 'GET' || !isSuccess(response)) return new EventChunks({ source, lines, pulse });
  const chunks: EventChunks = new EventChunks({ source, lines, pulse, ended: () => forget() });
  const forget = completions.listen(request, (event) => chunks.insert(event));
  return chunks;
}

function reportOpen({ record }: OutgoingRequest, { body }: ProxyResponse): void {
  if (record.reportOpen?.() !== false) return;
  if (isChunks(body)) body.cancel();
  throw auditUnavailable();
}

/** For the proxies on the way: events are no good late (nginx, "X-Accel-Buffering"; RFC 9111, 5.2.2.6). */
function keepUnbuffered(headers: Fields): void {
  headers.set('x-accel-buffering', 'no');
  const cacheControl = headers.get('cache-control');
  if (cacheControl === null) headers.set('cache-control', 'no-cache, no-transform');
  else if (!/(?:^|[\s,])no-transform(?:$|[\s,])/i.test(cacheControl)) {
    headers.set('cache-control', `${cacheControl}, no-transform`);
  }
}
