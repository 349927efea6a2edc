import { hash } from 'node:crypto';
import type { Subject } from '../../contract/lease.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Layer } from '../exchange.ts';

/** Most sessions remembered; the longest unused is forgotten first. */
export const sessionsMax = 10_000;

const sessionHeader = 'mcp-session-id';

/**
 * Keeps a session (revisions up to 2025-11-25) to the user who began it: a server may have kept that user's key with it. To
 * anybody else it does not exist (MCP security best practices, "Session Hijacking"). A session that is not remembered, as after a
 * restart of the sidecar alone, belongs to the first user who shows it.
 */
export function bindSession(): Layer<ClassifiedRequest> {
  const owners = new SessionOwners();
  return (inner) =>
    async function bindSessionToUser(request) {
      const user = userOf(request.record.subject);
      const shown = request.headers.get(sessionHeader);
      if (shown !== null && !owners.claim(shown, user)) {
        throw new ProxyError('SessionNotFound', 'Session not found');
      }
      const response = await inner(request);
      const begun = response.headers.get(sessionHeader);
      if (begun !== null && begun !== shown) owners.claim(begun, user);
      if (shown !== null && request.method === 'DELETE' && response.status < 300) owners.forget(shown);
      return response;
    };
}

function userOf(subject: Subject | undefined): string {
  return JSON.stringify([subject?.issuer, subject?.id]);
}

class SessionOwners {
  /** By hash of the session id, in order of last use. */
  readonly #owners = new Map<string, string>();

  /** Whether the session is the user's; one that nobody has becomes it. */
  claim(sessionId: string, user: string): boolean {
    const key = keyOf(sessionId);
    const owner = this.#owners.get(key) ?? user;
    if (owner !== user) return false;
    this.#owners.delete(key);
    const [oldest] = this.#owners.keys();
    if (this.#owners.size >= sessionsMax && oldest !== undefined) this.#owners.delete(oldest);
    this.#owners.set(key, user);
    return true;
  }

  forget(sessionId: string): void {
    this.#owners.delete(keyOf(sessionId));
  }
}

function keyOf(sessionId: string): string {
  return hash('sha256', sessionId, 'base64');
}
