import type { Message, RequestMessage } from '../mcp/message.ts';
import { initialize, isKeyless, toolCall } from '../mcp/methods.ts';

/** In what form a client learns that a key is needed, the richest first. */
export type Rung =
  /** Revision 2026-07-28: `input_required`; the client opens the page and comes back by itself. */
  | 'inputRequired'
  /** Revision 2025-11-25: error -32042 with the link. */
  | 'urlElicitation'
  /** A tool result that a person, or the model, reads. */
  | 'toolError'
  /** An error of ours. */
  | 'rpcError';

export interface RungFacts {
  readonly message: Pick<RequestMessage, 'method' | 'era'>;
  /** There is a page that would help, and the client opens URLs for its user. */
  readonly canOpenPage: boolean;
}

/** Handshake, discovery, lists and whatever is no request never wait for a key: a client must be able to connect to be asked for one. */
export function goesWithoutKey(message: Message | undefined): boolean {
  return message?.kind !== 'request' || isKeyless(message.method);
}

/** The three methods that may be answered with `input_required` (2026-07-28, "Multi Round-Trip Requests"). */
const interruptible: ReadonlySet<string> = new Set([toolCall, 'prompts/get', 'resources/read']);

export function isInterruptible({ method, era }: RungFacts['message']): boolean {
  return era === 'modern' && interruptible.has(method);
}

/** Pure. During the handshake nothing is negotiated yet, so no client is asked for anything there. */
export function rungFor({ message, canOpenPage }: RungFacts): Rung {
  if (canOpenPage && isInterruptible(message)) return 'inputRequired';
  if (canOpenPage && message.era === 'legacy' && message.method !== initialize) return 'urlElicitation';
  return message.method === toolCall ? 'toolError' : 'rpcError';
}
