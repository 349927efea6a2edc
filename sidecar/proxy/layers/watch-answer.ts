import { AnswerScanner } from '../../mcp/answer-scanner.ts';
import { EventLines } from '../../mcp/event-lines.ts';
import { isSubscription } from '../../mcp/methods.ts';
import { AnswerNotes } from '../answer-notes.ts';
import type { Chunks } from '../chunks.ts';
import { auditUnavailable, ProxyError } from '../errors.ts';
import { EventChunks } from '../event-chunks.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import type { Ownership } from '../ownership.ts';
import type { Pulse } from '../pulse.ts';

export interface WatchAnswerOptions {
  readonly ownership: Ownership;
  readonly pulse: Pulse;
}

/**
 * Looks at what the upstream answers while it passes: how the answer turned out, what the server asks its client, which tasks it
 * begins. Keeps event streams alive, and leaves no doubt for a client whether there is a stream.
 */
export function watchAnswer(options: WatchAnswerOptions): Layer<OutgoingRequest> {
  return (inner) =>
    async function watchUpstreamAnswer(request) {
      const response = await inner(request);
      if (isEventStream(response.headers)) return watchEvents(request, response, options);
      if (request.method === 'GET' && isSuccess(response)) throw noStream(response);
      return request.message?.kind === 'request' && isJson(response.headers)
        ? watchJson(new AnswerNotes(request, options.ownership), response)
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

function isEventStream(headers: Headers): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}

function isJson(headers: Headers): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('application/json') === true && isPlain(headers);
}

function isPlain(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') === 'identity';
}

/** A client takes only 405 for "there is no stream"; any other answer it asks for again, every second. */
function noStream({ body }: ProxyResponse): ProxyError {
  if (isChunks(body)) body.cancel();
  return new ProxyError('StreamNotOffered', 'This server offers no stream to listen to.', {
    headers: { allow: 'POST' },
  });
}

function watchJson(notes: AnswerNotes, response: ProxyResponse): ProxyResponse {
  const { body } = response;
  if (body === undefined) return response;
  const scanner = new AnswerScanner();
  if (isChunks(body)) return { ...response, body: scanned(body, scanner, notes) };
  scanner.feed(body);
  notes.take(scanner.read());
  return response;
}

function scanned(source: Chunks, scanner: AnswerScanner, notes: AnswerNotes): Chunks {
  return {
    async read() {
      const chunk = await source.read();
      if (chunk === undefined) notes.take(scanner.read());
      else scanner.feed(chunk);
      return chunk;
    },
    cancel: () => source.cancel(),
  };
}

function watchEvents(request: OutgoingRequest, response: ProxyResponse, options: WatchAnswerOptions): ProxyResponse {
  const { body, headers } = response;
  keepUnbuffered(headers);
  if (isOpenEnded(request) && isSuccess(response) && request.record.reportOpen?.() === false) {
    if (isChunks(body)) body.cancel();
    throw auditUnavailable();
  }
  // A compressed stream has no place for a comment, and shows nothing.
  if (body === undefined || !isPlain(headers)) return response;
  const lines = eventLines(new AnswerNotes(request, options.ownership));
  if (isChunks(body)) return { ...response, body: new EventChunks(body, lines, options.pulse) };
  lines.feed(body);
  return response;
}

function eventLines(notes: AnswerNotes): EventLines {
  const scanner = new AnswerScanner();
  let hasData = false;
  return new EventLines({
    value(field, { bytes, start, end }) {
      if (field !== 'data') return;
      hasData = true;
      scanner.feed(bytes, start, end);
    },
    eventEnd() {
      if (!hasData) return;
      hasData = false;
      notes.take(scanner.read());
      scanner.reset();
    },
  });
}

/** For the proxies on the way: events are no good late (nginx, "X-Accel-Buffering"; RFC 9111, 5.2.2.6). */
function keepUnbuffered(headers: Headers): void {
  headers.set('x-accel-buffering', 'no');
  const cacheControl = headers.get('cache-control');
  if (cacheControl === null) headers.set('cache-control', 'no-cache, no-transform');
  else if (!/(?:^|[\s,])no-transform(?:$|[\s,])/i.test(cacheControl)) {
    headers.set('cache-control', `${cacheControl}, no-transform`);
  }
}
