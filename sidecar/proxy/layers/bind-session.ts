import { initialize } from '../../mcp/methods.ts';
import { ProxyError } from '../errors.ts';
import type { BoundToSession, ClassifiedRequest, Layer, ProxyResponse } from '../exchange.ts';
import { hashOf, newSessions, type Session, type Sessions, userOf } from '../sessions.ts';

const sessionHeader = 'mcp-session-id';

/** MCP, Streamable HTTP: visible ASCII. Anything else, like two ids in a list, could be read as another id than it is judged as. */
const sessionIdForm = /^[\x21-\x7e]+$/;

/**
 * Keeps a session (revisions up to 2025-11-25) to the user who began it: a server may have kept that user's key with it. To
 * anybody else it does not exist (MCP security best practices, "Session Hijacking"). Only the upstream's answers bind: what it
 * begins belongs to whom it answers, whoever named that id before, and an id that is not remembered, as after a restart of the
 * sidecar alone, to the first user whom the upstream lets in with it.
 */
export function bindSession(sessions: Sessions = newSessions()): Layer<ClassifiedRequest, BoundToSession> {
  return (inner) =>
    function bindSessionToUser(request) {
      const shown = request.headers.get(sessionHeader);
      if (shown !== null) return useSession(sessions, shown, { request, inner });
      if (beginsSession(request)) return beginSession(sessions, { request, inner });
      return inner({ ...request, session: undefined });
    };
}

interface Step {
  readonly request: ClassifiedRequest;
  readonly inner: (request: BoundToSession) => Promise<ProxyResponse>;
}

async function useSession(sessions: Sessions, shown: string, { request, inner }: Step): Promise<ProxyResponse> {
  const user = userOf(request.record.subject);
  const key = hashOf(shown);
  request.record.sessionIdHash = key;
  const session = sessions.get(key);
  if ((session?.owner ?? user) !== user || !sessionIdForm.test(shown)) {
    throw new ProxyError('SessionNotFound', 'Session not found');
  }
  const response = await inner({ ...request, session });
  if (beginsSession(request)) bindBegun(sessions, { request, response, user });
  // Read anew: while the upstream thought, somebody else may have begun a session of this id.
  else learnFromUse(sessions, { key, user, request, response });
  return response;
}

async function beginSession(sessions: Sessions, { request, inner }: Step): Promise<ProxyResponse> {
  const response = await inner({ ...request, session: undefined });
  bindBegun(sessions, { request, response, user: userOf(request.record.subject) });
  return response;
}

interface Use {
  readonly key: string;
  readonly user: string;
  readonly request: ClassifiedRequest;
  readonly response: ProxyResponse;
}

function learnFromUse(sessions: Sessions, { key, user, request, response }: Use): void {
  const session = sessions.get(key);
  if ((session?.owner ?? user) !== user) return;
  if (request.method === 'DELETE' && isSuccess(response)) sessions.delete(key);
  else if (session !== undefined) sessions.set(key, session);
  else if (response.status < 400) sessions.set(key, { owner: user, elicitsUrl: false });
}

function bindBegun(sessions: Sessions, { request, response, user }: Omit<Use, 'key'>): void {
  const begun = isSuccess(response) ? response.headers.get(sessionHeader) : null;
  if (begun === null) return;
  const key = hashOf(begun);
  request.record.sessionIdHash = key;
  sessions.set(key, { owner: user, elicitsUrl: elicitsUrl(request) });
}

function beginsSession({ message }: ClassifiedRequest): boolean {
  return message?.kind === 'request' && message.method === initialize;
}

function elicitsUrl({ message }: ClassifiedRequest): Session['elicitsUrl'] {
  return message?.kind === 'request' && message.elicitsUrl;
}

function isSuccess({ status }: ProxyResponse): boolean {
  return status >= 200 && status < 300;
}
