import type { Fields } from '../http1/fields.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import type { Completions } from '../ladder/completions.ts';
import { AnswerNotes, eventLines } from './answer-notes.ts';
import type { Chunks } from './chunks.ts';
import { EndpointChunks } from './endpoint-chunks.ts';
import { EventChunks } from './event-chunks.ts';
import type { OutgoingRequest } from './exchange.ts';
import type { Endpoint } from './layers/check-target.ts';
import { MessageStream, type MessageStreams } from './message-streams.ts';
import type { Ownership } from './ownership.ts';
import type { Pulse } from './pulse.ts';
import { hashOf } from './sessions.ts';

/** In this an ingress says which part of the path it has taken away. */
export const prefixHeader = 'x-forwarded-prefix';
const prefixForm = /^(?:\/[A-Za-z0-9._~-]+)+$/;
const prefixCharsMax = 256;

export interface MessageOptions {
  readonly streams: MessageStreams;
  readonly ownership: Ownership;
  readonly endpoint: Endpoint;
  readonly policy: () => PolicySnapshot | undefined;
  readonly pulse: Pulse;
  readonly completions: Pick<Completions, 'listen'>;
}

/**
 * The stream of a client of the transport of 2024-11-05. The server names a URL for messages as it sees itself; the client is told the
 * path under which it reaches that, as it takes no other origin than the stream's.
 */
export function messageChunks(body: Chunks, request: OutgoingRequest, options: MessageOptions): Chunks {
  const { streams, ownership, pulse, completions } = options;
  const { record } = request;
  const stream = new MessageStream(record, (event) => chunks.insert(event));
  let forget: (() => void) | undefined;
  const source = new EndpointChunks(body, (data) => {
    const target = targetOf(data, options);
    if (target === undefined) return undefined;
    streams.add(stream, target);
    record.sessionIdHash = hashOf(target);
    forget = completions.listen(request, (event) => chunks.insert(event));
    return `${publicPrefix(request.headers, options.endpoint)}${target}`;
  });
  const ended = (): void => {
    forget?.();
    streams.delete(stream);
  };
  const lines = eventLines(new AnswerNotes(request, ownership, stream));
  const chunks = new EventChunks({ source, lines, pulse, ended });
  return {
    read: () => chunks.read(),
    cancel: () => chunks.cancel(),
    // The last answer is only being read when it is known: first it goes to the client.
    endSoon: () => stream.whenIdle(() => queueMicrotask(() => chunks.cancel())),
  };
}

/** Path and query: the origin is the server's, whatever it says. */
function targetOf(data: string, { endpoint, policy }: MessageOptions): string | undefined {
  const upstream = policy()?.upstream;
  const path = upstream?.kind === 'remote' ? new URL(upstream.url).pathname : endpoint.path;
  const url = URL.parse(data, `http://server${path}`);
  return url === null || !/^https?:$/.test(url.protocol) ? undefined : `${url.pathname}${url.search}`;
}

/** What stands before a path of the server in the URL that the client uses. */
export function publicPrefix(headers: Fields, endpoint: Pick<Endpoint, 'prefix'>): string {
  const shown = headers.get(prefixHeader) ?? '';
  const taken = shown.length <= prefixCharsMax && prefixForm.test(shown) ? shown : '';
  return `${taken}${endpoint.prefix}`;
}
