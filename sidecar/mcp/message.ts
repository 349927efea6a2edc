import { LookalikeKeys } from './lookalike-keys.ts';
import { initialize, nameParameter, type NameParameter, toolCall } from './methods.ts';
import type { StrictJsonProblem } from './strict-json.ts';
import { parseStrictJson } from './strict-json.ts';
import { isModernVersion } from './versions.ts';

/** One JSON-RPC message of MCP, read from the body alone: headers only confirm it. */
export type Message = RequestMessage | NotificationMessage | ResponseMessage;

export type RequestId = string | number;

/** `modern`: revision 2026-07-28 and later, told by `_meta`; `legacy`: everything before. */
export type Era = 'legacy' | 'modern';

export interface RequestMessage {
  readonly kind: 'request';
  readonly id: RequestId;
  readonly method: string;
  readonly era: Era;
  /** `_meta["io.modelcontextprotocol/protocolVersion"]`. */
  readonly protocolVersion: string | undefined;
  /** The tool of `tools/call`. */
  readonly tool: string | undefined;
  /** What `Mcp-Name` has to repeat, for the methods that have it. */
  readonly name: string | undefined;
  /** Whether the client says here that it opens URLs for its user (MCP, Elicitation, URL mode). */
  readonly elicitsUrl: boolean;
  /** `_meta.traceparent`. */
  readonly traceparent: string | undefined;
}

export interface NotificationMessage {
  readonly kind: 'notification';
  readonly method: string;
  /** A notification need not say its revision: then its header does (`standard-headers.ts`). */
  readonly era: Era;
  readonly protocolVersion: string | undefined;
}

/** A legacy client's answer to a request of the server. */
export interface ResponseMessage {
  readonly kind: 'response';
  readonly id: RequestId;
}

export type ParsedMessage =
  | { readonly kind: 'message'; readonly message: Message }
  /** `id` where it could be read: an answer must repeat it. */
  | { readonly kind: 'invalid'; readonly problem: MessageProblem; readonly id?: RequestId };

export type MessageProblem =
  | StrictJsonProblem
  | 'Batch'
  | 'NotJsonRpc'
  | 'LookalikeKey'
  | 'BadId'
  | 'BadMethod'
  | 'BadParams'
  | 'BadName'
  | 'BadProtocolVersion';

export const methodCharsMax = 256;
export const idCharsMax = 256;
export const protocolVersionKey = 'io.modelcontextprotocol/protocolVersion';
export const clientCapabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';

/** Reads one request, notification or response; never throws. */
export function parseMessage(bytes: Uint8Array): ParsedMessage {
  const json = parseStrictJson(bytes);
  if (json.kind === 'invalid') return invalid(json.problem);
  if (Array.isArray(json.value)) return invalid('Batch');
  if (!isObject(json.value) || json.value['jsonrpc'] !== '2.0') return invalid('NotJsonRpc');
  if (messageKeys.isIn(json.value)) return invalid('LookalikeKey');
  return classify(json.value);
}

type JsonObject = Readonly<Record<string, unknown>>;

const messageKeys = new LookalikeKeys(['jsonrpc', 'id', 'method', 'params', 'result', 'error']);

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(problem: MessageProblem, id?: RequestId): ParsedMessage {
  return id === undefined ? { kind: 'invalid', problem } : { kind: 'invalid', problem, id };
}

function classify(body: JsonObject): ParsedMessage {
  const id = readId(body['id']);
  if (id === undefined && Object.hasOwn(body, 'id')) return invalid('BadId');
  const outcomes = Number(Object.hasOwn(body, 'result')) + Number(Object.hasOwn(body, 'error'));
  if (Object.hasOwn(body, 'method')) return outcomes === 0 ? classifyCall(body, id) : invalid('NotJsonRpc');
  if (id === undefined || outcomes !== 1) return invalid('NotJsonRpc');
  return { kind: 'message', message: { kind: 'response', id } };
}

/** MCP: a string or an integer, never null. An integer that a parser would round is no id that two sides agree on. */
function readId(value: unknown): RequestId | undefined {
  if (typeof value === 'string') return value.length <= idCharsMax ? value : undefined;
  return Number.isSafeInteger(value) ? Number(value) : undefined;
}

function classifyCall(body: JsonObject, id: RequestId | undefined): ParsedMessage {
  const method = readMethod(body);
  if (method === undefined) return invalid('BadMethod', id);
  const params = body['params'];
  if (params !== undefined && !isObject(params)) return invalid('BadParams', id);
  if (params !== undefined && paramKeys[nameParameter(method) ?? 'none'].isIn(params)) {
    return invalid('LookalikeKey', id);
  }
  const meta = readObject(params, '_meta');
  const protocolVersion = meta?.[protocolVersionKey];
  if (protocolVersion !== undefined && typeof protocolVersion !== 'string') return invalid('BadProtocolVersion', id);
  const era = eraOf(method, meta, protocolVersion);
  return id === undefined
    ? { kind: 'message', message: { kind: 'notification', method, era, protocolVersion } }
    : classifyRequest({ id, method, era, protocolVersion }, params);
}

/** A text that is no Unicode, such as half a surrogate pair, is another text to whoever must make Unicode of it. */
function readMethod(body: JsonObject): string | undefined {
  const method = body['method'];
  if (typeof method !== 'string' || method === '' || method.length > methodCharsMax) return undefined;
  return method.isWellFormed() ? method : undefined;
}

const paramKeys: Readonly<Record<NameParameter | 'none', LookalikeKeys>> = {
  name: new LookalikeKeys(['_meta', 'name']),
  uri: new LookalikeKeys(['_meta', 'uri']),
  taskId: new LookalikeKeys(['_meta', 'taskId']),
  none: new LookalikeKeys(['_meta']),
};

/**
 * A claim of a revision makes a message modern; whether the claim is any good is the upstream's to say. Only `initialize`, the
 * handshake of the legacy era, takes a claim that is whole (as the official SDK's `classifyInboundRequest`).
 */
function eraOf(method: string, meta: JsonObject | undefined, protocolVersion: string | undefined): Era {
  if (protocolVersion === undefined) return 'legacy';
  if (method !== initialize) return 'modern';
  const isWhole = isModernVersion(protocolVersion) && readObject(meta, clientCapabilitiesKey) !== undefined;
  return isWhole ? 'modern' : 'legacy';
}

function classifyRequest(
  facts: Pick<RequestMessage, 'id' | 'method' | 'era' | 'protocolVersion'>,
  params: JsonObject | undefined,
): ParsedMessage {
  const { id, method, era, protocolVersion } = facts;
  const name = readName(method, params);
  if (name?.isWellFormed() === false) return invalid('BadName', id);
  const meta = readObject(params, '_meta');
  const capabilities =
    method === initialize ? readObject(params, 'capabilities') : readObject(meta, clientCapabilitiesKey);
  return {
    kind: 'message',
    message: {
      kind: 'request',
      id,
      method,
      era,
      protocolVersion,
      tool: method === toolCall ? name : undefined,
      name,
      elicitsUrl: readElicitsUrl(capabilities),
      traceparent: readText(meta, 'traceparent'),
    },
  };
}

/** `elicitation: {}` means forms only. */
function readElicitsUrl(capabilities: JsonObject | undefined): boolean {
  return readObject(readObject(capabilities, 'elicitation'), 'url') !== undefined;
}

function readObject(parent: JsonObject | undefined, key: string): JsonObject | undefined {
  const found = parent?.[key];
  return isObject(found) ? found : undefined;
}

function readText(parent: JsonObject | undefined, key: string): string | undefined {
  const found = parent?.[key];
  return typeof found === 'string' ? found : undefined;
}

function readName(method: string, params: JsonObject | undefined): string | undefined {
  const parameter = nameParameter(method);
  return parameter === undefined ? undefined : readText(params, parameter);
}
