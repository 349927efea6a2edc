import type { FieldLookup } from '../http1/fields.ts';
import { Buffer } from 'node:buffer';
import type { Message, NotificationMessage, RequestMessage } from './message.ts';
import { initialize, repeatsNameInHeader } from './methods.ts';
import { firstModernVersion, isModernVersion } from './versions.ts';

/**
 * What the headers of revision 2026-07-28 (Streamable HTTP, "Standard Request Headers") say about a message: they repeat its
 * version, method and name, and whoever reads the body has to compare them. In the legacy era they mean nothing.
 */
export type HeaderProblem =
  /** The header is missing or says something else than the body. */
  | { readonly kind: 'mismatch'; readonly header: 'MCP-Protocol-Version' | 'Mcp-Method' | 'Mcp-Name' }
  /** The header names a modern revision, and the body has no `_meta` that does: two servers could take it for two eras. */
  | { readonly kind: 'claimMissing' };

/** The message, with the era that a notification owes to its header, or what is wrong between the two. */
export function compareHeaders(message: Message, headers: FieldLookup): Message | HeaderProblem {
  switch (message.kind) {
    case 'request':
      return compareRequest(message, headers);
    case 'notification':
      return compareNotification(message, headers);
    case 'response':
      return message;
  }
}

function compareRequest(message: RequestMessage, headers: FieldLookup): Message | HeaderProblem {
  const version = headers.get('mcp-protocol-version');
  if (message.era === 'modern') return compareModern(message, version, headers);
  if (version === null || !isModernVersion(version)) return message;
  return message.method === initialize ? mismatch('MCP-Protocol-Version') : { kind: 'claimMissing' };
}

function compareModern(
  message: RequestMessage,
  version: string | null,
  headers: FieldLookup,
): RequestMessage | HeaderProblem {
  const { protocolVersion, method, name } = message;
  // Later revisions may ask for other headers: the upstream knows (-32022). One that is there must be true in any case.
  const required = protocolVersion === firstModernVersion;
  if (version === null ? required : version !== protocolVersion) return mismatch('MCP-Protocol-Version');
  const shownMethod = headers.get('mcp-method');
  if (shownMethod === null ? required : shownMethod !== method) return mismatch('Mcp-Method');
  if (!repeatsNameInHeader(method)) return message;
  return isNameRepeated(name, headers.get('mcp-name'), required) ? message : mismatch('Mcp-Name');
}

function isNameRepeated(name: string | undefined, shown: string | null, required: boolean): boolean {
  if (shown === null) return !required || name === undefined;
  const decoded = decodeHeaderText(shown);
  // A body without a name is the upstream's to refuse.
  return decoded !== undefined && (name === undefined || decoded === name);
}

/** Notifications need no claim: without one, the header decides. None of these headers is asked of them. */
function compareNotification(message: NotificationMessage, headers: FieldLookup): Message | HeaderProblem {
  const shown = headers.get('mcp-protocol-version');
  const protocolVersion = message.protocolVersion ?? shown ?? undefined;
  if (protocolVersion === undefined) return message;
  if (shown !== null && shown !== protocolVersion) return mismatch('MCP-Protocol-Version');
  if (!isModernVersion(protocolVersion)) return message;
  const shownMethod = headers.get('mcp-method');
  if (shownMethod !== null && shownMethod !== message.method) return mismatch('Mcp-Method');
  return { ...message, era: 'modern', protocolVersion };
}

function mismatch(header: Extract<HeaderProblem, { kind: 'mismatch' }>['header']): HeaderProblem {
  return { kind: 'mismatch', header };
}

const encodedText = /^=\?base64\?(.*)\?=$/s;
/** RFC 4648, 4: with padding. */
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `=?base64?…?=` holds UTF-8 that a header cannot, and is `undefined` when it does not; any other text is itself. */
export function decodeHeaderText(text: string): string | undefined {
  const encoded = encodedText.exec(text)?.[1];
  if (encoded === undefined) return text;
  if (!base64.test(encoded)) return undefined;
  try {
    return decoder.decode(Buffer.from(encoded, 'base64'));
  } catch {
    return undefined;
  }
}
