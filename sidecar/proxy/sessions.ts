import { hash } from 'node:crypto';
import type { Subject } from '../contract/lease.ts';
import type { RequestRecord } from './exchange.ts';

/** A session of a client, revisions up to 2025-11-25. */
export interface Session {
  /** As `ownerOf` writes it. */
  readonly owner: string;
  /** Whether the client said at `initialize` that it opens URLs for its user (MCP, Elicitation, URL mode). */
  readonly elicitsUrl: boolean;
}

/** base64url, 43 characters. */
export function hashOf(id: string): string {
  return hash('sha256', id, 'base64url');
}

/**
 * Whom what a request begins belongs to: its user. A server may take whoever began a session for its user ever after, so what began with
 * a key for discovery is not gone on with when there is another.
 */
export function ownerOf({ subject, isDiscovering }: Pick<RequestRecord, 'subject' | 'isDiscovering'>): string {
  return isDiscovering ? `${userOf(subject)} discovering` : userOf(subject);
}

/** One text for one user. */
export function userOf(subject: Subject | undefined): string {
  return JSON.stringify([subject?.issuer, subject?.id]);
}
