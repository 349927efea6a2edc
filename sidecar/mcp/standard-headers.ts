import { Buffer } from 'node:buffer';
import type { RequestMessage } from './message.ts';

/**
 * Revision 2026-07-28, Streamable HTTP: a modern request repeats version, method and name in headers, and whoever reads the body
 * has to compare them. Returns the name of the header that is missing or says something else, `undefined` when all agree.
 * A legacy request is not compared: there these headers mean nothing.
 */
export function findHeaderMismatch(message: RequestMessage, headers: Headers): string | undefined {
  if (message.era === 'legacy') return undefined;
  if (headers.get('mcp-protocol-version') !== message.protocolVersion) return 'MCP-Protocol-Version';
  if (headers.get('mcp-method') !== message.method) return 'Mcp-Method';
  if (message.name !== undefined && decodeHeaderText(headers.get('mcp-name')) !== message.name) return 'Mcp-Name';
  return undefined;
}

const base64Text = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/;

/** `=?base64?…?=` holds UTF-8 that a header cannot; anything else is itself. */
export function decodeHeaderText(text: string | null): string | null {
  const encoded = text === null ? undefined : base64Text.exec(text)?.[1];
  return encoded === undefined ? text : Buffer.from(encoded, 'base64').toString('utf8');
}
