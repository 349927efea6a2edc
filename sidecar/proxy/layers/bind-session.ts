import type { Subject } from '../../contract/lease.ts';
import { initialize } from '../../mcp/methods.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Layer, ProxyResponse } from '../exchange.ts';
import { type SessionBounds, SessionOwners } from '../session-owners.ts';

export const sessionBounds: SessionBounds = { perUserMax: 256, allMax: 16_384 };

const sessionHeader = 'mcp-session-id';

/** MCP, Streamable HTTP: visible ASCII. Anything else, like two ids in a list, could be read as another id than it is judged as. */
const sessionIdForm = /^[\x21-\x7e]+$/;

/**
 * Keeps a session (revisions up to 2025-11-25) to the user who began it: a server may have kept that user's key with it. To
 * anybody else it does not exist (MCP security best practices, "Session Hijacking"). Only the upstream's answers bind: what it
 * begins belongs to whom it answers, whoever named that id before, and an id that is not remembered, as after a restart of the
 * sidecar alone, to the first user whom the upstream lets in with it.
 */
export function bindSession(bounds: SessionBounds = sessionBounds): Layer<ClassifiedRequest> {
  const owners = new SessionOwners(bounds);
  return (inner) =>
    async function bindSessionToUser(request) {
      const user = userOf(request.record.subject);
      const shown = request.headers.get(sessionHeader);
      if (shown !== null) checkOwner(owners, shown, user);
      const response = await inner(request);
      if (shown !== null) learnFromUse(owners, { shown, user, request, response });
      const begun = begunSession(request, response);
      if (begun !== undefined) owners.bind(begun, user);
      return response;
    };
}

function userOf(subject: Subject | undefined): string {
  return JSON.stringify([subject?.issuer, subject?.id]);
}

function checkOwner(owners: SessionOwners, shown: string, user: string): void {
  const owner = owners.ownerOf(shown) ?? user;
  if (owner !== user || !sessionIdForm.test(shown)) throw new ProxyError('SessionNotFound', 'Session not found');
}

interface SessionUse {
  readonly shown: string;
  readonly user: string;
  readonly request: ClassifiedRequest;
  readonly response: ProxyResponse;
}

/** While the upstream thought, somebody else may have begun a session of this id. */
function learnFromUse(owners: SessionOwners, { shown, user, request, response }: SessionUse): void {
  const owner = owners.ownerOf(shown);
  if ((owner ?? user) !== user) return;
  if (request.method === 'DELETE' && isSuccess(response)) owners.forget(shown);
  else if (owner === user || response.status < 400) owners.bind(shown, user);
}

function begunSession({ message }: ClassifiedRequest, response: ProxyResponse): string | undefined {
  if (message?.kind !== 'request' || message.method !== initialize || !isSuccess(response)) return undefined;
  return response.headers.get(sessionHeader) ?? undefined;
}

function isSuccess({ status }: ProxyResponse): boolean {
  return status >= 200 && status < 300;
}
