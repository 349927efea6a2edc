import { hash } from 'node:crypto';
import type { Subject } from '../contract/lease.ts';

/** A session of a client, revisions up to 2025-11-25. */
export interface Session {
  /** As `userOf` writes it. */
  readonly owner: string;
  /** Whether the client said at `initialize` that it opens URLs for its user (MCP, Elicitation, URL mode). */
  readonly elicitsUrl: boolean;
}

/** base64url, 43 characters. */
export function hashOf(id: string): string {
  return hash('sha256', id, 'base64url');
}

/** One text for one user. */
export function userOf(subject: Subject | undefined): string {
  return JSON.stringify([subject?.issuer, subject?.id]);
}
