import { randomUUID } from 'node:crypto';
import { Fields } from '../../http1/fields.ts';
import { setMember } from '../../mcp/json-edit.ts';
import { initialize, isSubscription, nameParameter } from '../../mcp/methods.ts';
import { subscribedTasks } from '../../mcp/subscribed-tasks.ts';
import { ProxyError } from '../errors.ts';
import type { BoundToSession, ClassifiedRequest, Handler, Layer, ProxyResponse } from '../exchange.ts';
import type { MessageStream, MessageStreams } from '../message-streams.ts';
import type { Ownership } from '../ownership.ts';
import { postMessage } from '../posted-message.ts';
import { SessionTimes } from '../session-times.ts';
import { hashOf, ownerOf } from '../sessions.ts';
import { sessionHeader } from './mark-session.ts';

/** MCP, Streamable HTTP: visible ASCII. Anything else, like two ids in a list, could be read as another id than it is judged as. */
const sessionIdForm = /^[\x21-\x7e]+$/;

/**
 * Keeps a session (revisions up to 2025-11-25) to the user who began it: a server may have kept that user's key with it. To
 * anybody else it does not exist (MCP security best practices, "Session Hijacking"); the same holds for tasks, and for the questions
 * that the server asks. Only the upstream's answers bind: what it begins belongs to whom it answers, whoever named that id before.
 * A session that is not remembered is of the user whom its mark names (`mark-session.ts`), and where ids are not marked, of the first
 * whom the upstream lets in with it. A task that is not remembered is nobody's.
 */
export function bindSession({
  ownership,
  streams,
  endpoint,
  opensUrls,
  rescue,
}: BindSessionOptions): Layer<ClassifiedRequest, BoundToSession> {
  const times = new SessionTimes();
  return (inner) =>
    function bindSessionToUser(request) {
      const shown = request.headers.get(sessionHeader);
      const stream = streamOf(streams, request);
      // A server may name the path of the endpoint itself for messages; any other path is for nothing else.
      if (stream !== undefined || request.path !== endpoint.path) {
        if (shown !== null) ownSession(ownership, request, shown);
        const send: Handler<BoundToSession> = (bound) =>
          passOn({ request: bound, inner, ownership, opensUrls, times }, bound);
        return postMessage({ request, stream, opensUrls, rescue, inner: send });
      }
      if (shown !== null) return useSession({ request, inner, ownership, opensUrls, times }, shown);
      if (beginsSession(request)) return beginSession({ request, inner, ownership, opensUrls, times });
      return passOn({ request, inner, ownership, opensUrls, times }, none);
    };
}

/** The stream on which what is posted there is answered. */
function streamOf(streams: MessageStreams, { method, path, query }: ClassifiedRequest): MessageStream | undefined {
  return streams.size > 0 && method === 'POST' ? streams.find(`${path}${query}`) : undefined;
}

export interface BindSessionOptions {
  readonly ownership: Ownership;
  readonly streams: MessageStreams;
  readonly endpoint: { readonly path: string };
  readonly opensUrls: OpensUrls;
  readonly rescue: (error: unknown, request: ClassifiedRequest) => ProxyResponse;
}

/** Whether the client of an `initialize` opens URLs for its user. */
export type OpensUrls = (request: ClassifiedRequest) => boolean;

interface Step {
  readonly opensUrls: OpensUrls;
  readonly request: ClassifiedRequest;
  readonly inner: Handler<BoundToSession>;
  readonly ownership: Ownership;
  readonly times: SessionTimes;
}

async function useSession(step: Step, shown: string): Promise<ProxyResponse> {
  const { request, ownership, opensUrls, times } = step;
  const { user, key, session } = ownSession(ownership, request, shown);
  times.use(key, request.record, request.headers.get('mcp-protocol-version') ?? undefined);
  const response = await passOn(step, { session, messagePath: undefined });
  if (beginsSession(request)) bindBegun(step, { request, response, user, elicitsUrl: opensUrls(request) });
  else learnFromUse(step, { key, user, request, response });
  return response;
}

/** The session that the client names, when it is its user's own or nobody's yet. */
function ownSession(
  ownership: Ownership,
  { record }: ClassifiedRequest,
  shown: string,
): { readonly user: string; readonly key: string; readonly session: BoundToSession['session'] } {
  const user = ownerOf(record);
  const key = hashOf(shown);
  record.sessionIdHash = key;
  const session = ownership.session(key);
  if ((session?.owner ?? user) !== user || !sessionIdForm.test(shown)) {
    throw new ProxyError('SessionNotFound', 'Session not found');
  }
  return { user, key, session };
}

async function beginSession(step: Step): Promise<ProxyResponse> {
  const response = await passOn(step, none);
  const { request, opensUrls } = step;
  const user = ownerOf(request.record);
  bindBegun(step, { request, response, user, elicitsUrl: opensUrls(request) });
  return response;
}

type Binding = Pick<BoundToSession, 'session' | 'messagePath'>;

const none: Binding = { session: undefined, messagePath: undefined };

/** Sends on what names nothing that is another user's. */
function passOn(step: Step, binding: Binding): Promise<ProxyResponse> {
  const { request, inner, ownership } = step;
  const { message } = request;
  if (message?.kind === 'response') return passAnswerOn(step, binding);
  if (message?.kind === 'request' && isSubscription(message.method)) checkSubscribedTasks(ownership, request);
  return inner({
    ...aboutOwnTask(request, ownership),
    session: binding.session,
    messagePath: binding.messagePath,
  });
}

/** The request where it names no task, or one of its user. */
function aboutOwnTask(request: ClassifiedRequest, ownership: Ownership): ClassifiedRequest {
  const { message, record } = request;
  if (message === undefined || message.kind === 'response' || nameParameter(message.method) !== 'taskId')
    return request;
  // No notification is about a task; a server that takes one for a request all the same would not hear whose it is.
  if (message.kind === 'notification') throw new ProxyError('InvalidMessage', 'A request about a task needs an id.');
  if (message.name === undefined || ownership.ownsTask(record, message.name)) return request;
  if (!ownership.mayUseTask(record, message.name)) throw taskNotFound();
  return askForNoTask(request);
}

/**
 * A task that was not seen to begin may be another user's. The server is asked for one that does not exist instead, so that it says in its
 * own words what it says then, or that it knows no tasks.
 */
function askForNoTask(request: ClassifiedRequest): ClassifiedRequest {
  const nobodys = randomUUID();
  const text = setMember(decoder.decode(request.bytes), ['params', 'taskId'], JSON.stringify(nobodys));
  const headers = new Fields(request.headers);
  if (headers.has(nameHeader)) headers.set(nameHeader, nobodys);
  return { ...request, headers, bytes: encoder.encode(text) };
}

const nameHeader = 'mcp-name';
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function taskNotFound(): ProxyError {
  return new ProxyError('TaskNotFound', 'Task not found');
}

/** The extension for tasks lets a client listen to those that it names. */
function checkSubscribedTasks(ownership: Ownership, { record, bytes }: ClassifiedRequest): void {
  const tasks = subscribedTasks(bytes);
  if (tasks === 'unreadable') throw new ProxyError('InvalidMessage', 'The task ids to listen to cannot be read.');
  for (const id of tasks) if (!ownership.ownsTask(record, id)) throw taskNotFound();
}

async function passAnswerOn(step: Step, { session, messagePath }: Binding): Promise<ProxyResponse> {
  const { request, inner, ownership } = step;
  const { message, record } = request;
  if (message?.kind !== 'response' || !ownership.isAsked(record, message.id)) {
    throw new ProxyError('NotAsked', 'The server has asked nothing with this id.');
  }
  const response = await inner({ ...request, session, messagePath });
  if (isSuccess(response)) ownership.answer(record, message.id);
  return response;
}

interface Use {
  readonly key: string;
  readonly user: string;
  readonly request: ClassifiedRequest;
  readonly response: ProxyResponse;
}

/**
 * Our own answers, as to who has no key, say nothing of whom the upstream lets in. Looks anew: while the upstream thought, somebody
 * else may have begun a session of this id.
 */
function learnFromUse({ ownership, times }: Step, { key, user, request, response }: Use): void {
  const session = ownership.session(key);
  if ((session?.owner ?? user) !== user) return;
  const { record } = request;
  const { upstreamStatus = 502 } = record;
  if (upstreamStatus === 404) times.end(key, record, '404');
  if (endsSession(request, response)) {
    times.end(key, record, undefined);
    ownership.endSession(key);
  } else if (session !== undefined) ownership.setSession(key, session);
  else if (response.status < 400 && upstreamStatus < 400) ownership.setSession(key, { owner: user, elicitsUrl: false });
}

function endsSession({ method, record }: ClassifiedRequest, response: ProxyResponse): boolean {
  return method === 'DELETE' && isSuccess(response) && (record.upstreamStatus ?? 502) < 300;
}

type Begun = Omit<Use, 'key'> & { readonly elicitsUrl: boolean };

function bindBegun({ ownership, times }: Step, { request, response, user, elicitsUrl }: Begun): void {
  const begun = isSuccess(response) ? response.headers.get(sessionHeader) : null;
  if (begun === null) return;
  const key = hashOf(begun);
  request.record.sessionIdHash = key;
  ownership.setSession(key, { owner: user, elicitsUrl });
  times.begin(key, request.record);
}

function beginsSession({ message }: ClassifiedRequest): boolean {
  return message?.kind === 'request' && message.method === initialize;
}

function isSuccess({ status }: ProxyResponse): boolean {
  return status >= 200 && status < 300;
}
