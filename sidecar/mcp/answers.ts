import type { Era, RequestId } from './message.ts';

/** JSON-RPC bodies that the proxy writes itself. */

/**
 * Our own error codes. The protocol asks for codes outside -32768..-32000 (2026-07-28 basic, "Error codes"); the negative
 * ones are the protocol's and mean what it says.
 */
export const rpcCodes = {
  parseError: -32_700,
  invalidRequest: -32_600,
  invalidParams: -32_602,
  headerMismatch: -32_020,
  /** Only in the legacy era, and only to clients that open URLs (2025-11-25, "URL Mode With Elicitation Required Error"). */
  urlElicitationRequired: -32_042,
  /** What servers of the official SDK say; clients know it. */
  sessionNotFound: -32_001,
  keyMissing: 1001,
  keyInvalid: 1002,
  keyExpired: 1003,
  keyPendingApproval: 1004,
  keyUnreadable: 1005,
  toolDenied: 1010,
  listUnreadable: 1011,
  responseEncoded: 1012,
  limited: 1429,
  limitsUnavailable: 1507,
  unauthenticated: 1401,
  denied: 1403,
  notFound: 1404,
  methodNotAllowed: 1405,
  bodyTimeout: 1408,
  tooLarge: 1413,
  mediaType: 1415,
  internal: 1500,
  upstreamUnavailable: 1502,
  brokerUnavailable: 1503,
  auditUnavailable: 1504,
  overloaded: 1505,
  upstreamTimeout: 1506,
  upstreamProtocol: 1508,
  upstreamConnectTimeout: 1509,
  forwardProxyFailed: 1510,
} as const;

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: object;
}

/** Without `id` when the request's is not known: `null` is refused by clients. */
export function rpcErrorBody(error: RpcError, id: RequestId | undefined): Uint8Array {
  return encode({ jsonrpc: '2.0', ...(id === undefined ? {} : { id }), error });
}

/** A tool result that tells the person (and the model) what went wrong. */
export function toolErrorBody(text: string, id: RequestId, era: Era): Uint8Array {
  const resultType = era === 'modern' ? { resultType: 'complete' } : {};
  return encode({ jsonrpc: '2.0', id, result: { ...resultType, content: [{ type: 'text', text }], isError: true } });
}

/** A page that a client is asked to open for its user. */
export interface ElicitedUrl {
  readonly url: string;
  readonly message: string;
}

/** Revision 2025-11-25: the request cannot be answered until its user has been to the page. */
export function urlElicitationBody(
  id: RequestId,
  elicited: ElicitedUrl & { readonly elicitationId: string },
): Uint8Array {
  const { message } = elicited;
  const data = { elicitations: [{ mode: 'url', ...elicited }] };
  return rpcErrorBody({ code: rpcCodes.urlElicitationRequired, message, data }, id);
}

/** Revision 2025-11-25: says on a stream that the user has been to the page. */
export function elicitationCompleteEvent(elicitationId: string): Uint8Array {
  const message = { jsonrpc: '2.0', method: 'notifications/elicitation/complete', params: { elicitationId } };
  return encoder.encode(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
}

/** Revision 2026-07-28: the client opens the page and sends the request again, with `requestState` and its answer under `key`. */
export function inputRequiredBody(
  id: RequestId,
  { key, requestState, url, message }: ElicitedUrl & { readonly key: string; readonly requestState: string },
): Uint8Array {
  const inputRequests = { [key]: { method: 'elicitation/create', params: { mode: 'url', url, message } } };
  return encode({ jsonrpc: '2.0', id, result: { resultType: 'input_required', inputRequests, requestState } });
}

const encoder = new TextEncoder();

function encode(value: object): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
