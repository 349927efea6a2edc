import { Buffer } from 'node:buffer';

import { isSubscription, taskList, toolList } from '../../mcp/methods.ts';
import type { FilteredMessage } from '../../mcp/result-list.ts';
import { filterTaskList } from '../../mcp/task-messages.ts';
import { filterToolList } from '../../mcp/tool-list.ts';
import type { BodyBudget, BodyHold } from '../body-budget.ts';
import type { Chunks } from '../chunks.ts';
import { isCoded, refuseCoded } from '../coded.ts';
import { listUnreadable, ProxyError } from '../errors.ts';
import { isChunks, type Layer, type OutgoingRequest, type ProxyResponse } from '../exchange.ts';
import { FilteredEvents, type FilteredEventsOptions, listBytesMax } from '../filtered-events.ts';
import { isEventStream, isUtf8 } from '../media-type.ts';
import type { Ownership } from '../ownership.ts';
import { shareOf } from '../user-shares.ts';
import type { ToolsInForce } from './authorize-tool.ts';

export interface FilterListsOptions {
  readonly tools: ToolsInForce;
  readonly ownership: Ownership;
  readonly bodies: BodyBudget;
}

/**
 * Hides the tools that a policy does not allow from the answer to `tools/list`, and other users' tasks from the answer to
 * `tasks/list` and from notifications, wherever they come: as JSON, as an event, or on a GET stream, which an answer is resumed on.
 * What cannot be judged does not go out.
 */
export function filterLists(options: FilterListsOptions): Layer<OutgoingRequest> {
  return (inner) =>
    async function filterAnswer(request) {
      const response = await inner(request);
      if (isEventStream(response.headers)) return filterStream(response, request, options);
      const filter = filterOf(request, options);
      return filter === undefined ? response : filterJson(response, filter, holdOf(request, options));
    };
}

type Filter = (text: string) => FilteredMessage;

/** What becomes of an answer in JSON; undefined where nothing of it is anybody's secret. */
function filterOf({ message, record }: OutgoingRequest, { tools, ownership }: FilterListsOptions): Filter | undefined {
  if (message?.kind !== 'request') return undefined;
  if (message.method === taskList) return (text) => filterTaskList(text, (id) => ownership.ownsTask(record, id));
  const inForce = message.method === toolList ? tools(record) : undefined;
  return inForce === undefined ? undefined : (text) => filterToolList(text, inForce, message.era);
}

function holdOf({ record }: OutgoingRequest, { bodies }: FilterListsOptions): BodyHold {
  return bodies.hold(shareOf(record.subject));
}

async function filterJson(response: ProxyResponse, filter: Filter, hold: BodyHold): Promise<ProxyResponse> {
  using _held = hold;
  const { body, headers } = response;
  if (body === undefined) return response;
  refuseCoded(response);
  if (!isUtf8(headers)) throw unreadable(body);
  const bytes = isChunks(body) ? await readWhole(body, hold) : body;
  const filtered = filter(decode(bytes));
  switch (filtered.kind) {
    case 'unchanged':
      return { ...response, body: bytes };
    case 'changed':
      return changed(response, filtered.text);
    case 'unreadable':
      throw listUnreadable();
  }
}

function unreadable(body: NonNullable<ProxyResponse['body']>): ProxyError {
  if (isChunks(body)) body.cancel();
  return listUnreadable();
}

async function filterStream(
  response: ProxyResponse,
  request: OutgoingRequest,
  options: FilterListsOptions,
): Promise<ProxyResponse> {
  const { body, headers } = response;
  if (body === undefined) return response;
  if (mayCarryList(request)) {
    refuseCoded(response);
    if (!isUtf8(headers)) throw unreadable(body);
  } else if (isCoded(response)) return response;
  const filtering = filteringOf(request, options);
  if (isChunks(body)) {
    headers.delete('content-length');
    return { ...response, body: new FilteredEvents(body, filtering) };
  }
  using hold = holdOf(request, options);
  const filtered = await readWhole(new FilteredEvents(onlyChunk(body), filtering), hold);
  return filtered.byteLength === body.byteLength && Buffer.compare(filtered, body) === 0
    ? response
    : resized(response, filtered);
}

/** Whether lists can come on the stream: it is their answer's, or one for all that has no other. */
function mayCarryList({ method, message }: OutgoingRequest): boolean {
  if (message?.kind !== 'request') return method === 'GET';
  return message.method === toolList || message.method === taskList || isSubscription(message.method);
}

function filteringOf(request: OutgoingRequest, options: FilterListsOptions): FilteredEventsOptions {
  const { message, method, record } = request;
  const { tools, ownership } = options;
  const asked = message?.kind === 'request' ? message : undefined;
  const isForAll = method === 'GET';
  return {
    tools: isForAll || asked?.method === toolList ? () => tools(record) : noTools,
    // A stream for all carries whatever the server sends there; one that answers a request may tell of the task that it begins.
    knowsTask: (id) =>
      isForAll || asked?.method === taskList ? ownership.ownsTask(record, id) : ownership.mayUseTask(record, id),
    mayListTasks: isForAll || asked?.method === taskList,
    era: asked?.era ?? 'legacy',
    requestId: asked?.id,
    hold: holdOf(request, options),
  };
}

function noTools(): undefined {
  return undefined;
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

// A byte order mark stays in the text: it is none of JSON.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

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
  return resized(response, new TextEncoder().encode(text));
}

function resized(response: ProxyResponse, body: Uint8Array): ProxyResponse {
  const { headers } = response;
  for (const name of describesBytes) headers.delete(name);
  headers.set('content-length', String(body.byteLength));
  return { ...response, body };
}
