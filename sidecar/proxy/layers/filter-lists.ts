import { Buffer } from 'node:buffer';

import { toolList } from '../../mcp/methods.ts';
import type { RequestMessage } from '../../mcp/message.ts';
import { filterToolList } from '../../mcp/tool-list.ts';
import type { BodyBudget, BodyHold } from '../body-budget.ts';
import type { Chunks } from '../chunks.ts';
import { isCoded, refuseCoded } from '../coded.ts';
import { listUnreadable, ProxyError } from '../errors.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import { FilteredEvents, type FilteredEventsOptions, listBytesMax } from '../filtered-events.ts';
import { isEventStream } from '../media-type.ts';
import type { ToolsInForce } from './authorize-tool.ts';
import { shareOf } from '../user-shares.ts';

export interface FilterListsOptions {
  readonly tools: ToolsInForce;
  readonly bodies: BodyBudget;
}

/**
 * Hides the tools that a policy does not allow from the answer to `tools/list`, wherever it comes: as JSON, as an event, or on a
 * GET stream, which an answer is resumed on. What cannot be judged does not go out.
 */
export function filterLists(options: FilterListsOptions): Layer<OutgoingRequest> {
  return (inner) =>
    function filterToolLists(request) {
      const { message } = request;
      if (request.method === 'GET')
        return filterStream(inner(request), { ...options, user: shareOf(request.record.subject) });
      if (message?.kind !== 'request' || message.method !== toolList) return inner(request);
      return filterAnswer(inner(request), message, { ...options, user: shareOf(request.record.subject) });
    };
}

async function filterStream(
  awaited: Promise<ProxyResponse>,
  { tools, bodies, user }: FilterListsOptions & { readonly user: string },
): Promise<ProxyResponse> {
  const response = await awaited;
  if (!isEventStream(response.headers)) return response;
  if (tools() !== undefined) refuseCoded(response);
  // Nobody can read it later either; and one whose length is known ends before a policy can change.
  else if (isCoded(response) || response.headers.has('content-length')) return response;
  return filterEvents(response, { tools, era: 'legacy', requestId: undefined, hold: bodies.hold(user) });
}

async function filterAnswer(
  awaited: Promise<ProxyResponse>,
  { id, era }: RequestMessage,
  { tools, bodies, user }: FilterListsOptions & { readonly user: string },
): Promise<ProxyResponse> {
  const response = await awaited;
  const { body } = response;
  const filter = tools();
  if (filter === undefined || body === undefined) return response;
  refuseCoded(response);
  if (isEventStream(response.headers))
    return filterEvents(response, { tools, era, requestId: id, hold: bodies.hold(user) });
  using hold = bodies.hold(user);
  const bytes = isChunks(body) ? await readWhole(body, hold) : body;
  const filtered = filterToolList(decode(bytes), filter, era);
  switch (filtered.kind) {
    case 'unchanged':
      return { ...response, body: bytes };
    case 'changed':
      return changed(response, filtered.text);
    case 'unreadable':
      throw listUnreadable();
  }
}

function filterEvents(response: ProxyResponse, options: FilteredEventsOptions): ProxyResponse {
  const { headers, body } = response;
  if (body === undefined) return response;
  headers.delete('content-length');
  return { ...response, body: new FilteredEvents(isChunks(body) ? body : onlyChunk(body), options) };
}

function onlyChunk(bytes: Uint8Array): Chunks {
  let left: Uint8Array | undefined = bytes;
  return {
    read: () => {
      const chunk = left;
      left = undefined;
      return Promise.resolve(chunk);
    },
    cancel: () => {},
  };
}

async function readWhole(body: Chunks, hold: BodyHold): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) {
      bytes += chunk.byteLength;
      if (bytes > listBytesMax) throw listUnreadable();
      hold.take(chunk.byteLength);
      chunks.push(chunk);
    }
  } catch (error) {
    body.cancel();
    throw error instanceof ProxyError ? error : brokeOff(error);
  }
  return Buffer.concat(chunks);
}

function brokeOff(cause: unknown): ProxyError {
  return new ProxyError('UpstreamUnavailable', 'The MCP server behind the proxy broke its answer off.', { cause });
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** @throws ProxyError for what two parsers could read in two ways */
function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw listUnreadable();
  }
}

/** What described the old bytes is not true of the new ones. */
const describesBytes = ['etag', 'last-modified', 'digest', 'content-digest', 'repr-digest', 'content-md5'];

function changed(response: ProxyResponse, text: string): ProxyResponse {
  const { headers } = response;
  const body = new TextEncoder().encode(text);
  for (const name of describesBytes) headers.delete(name);
  headers.set('content-length', String(body.byteLength));
  return { ...response, body };
}
