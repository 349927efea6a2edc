import { initialize, nameParameter, toolCall } from './methods.ts';
import type { ObjectOutline } from './json-outline.ts';
import { readStrictJson, type StrictJson, type StrictJsonProblem } from './strict-json.ts';
import { isModernVersion } from './versions.ts';
import { WatchedKeys } from './watched-keys.ts';

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

/** What is judged of a body: members of the message, and of its params. Each is known by its number. */
const member = { jsonrpc: 0, id: 1, method: 2, params: 3, result: 4, error: 5 };
const param = { _meta: 0, name: 1, uri: 2, taskId: 3, capabilities: 4 };
const judged = {
  root: new WatchedKeys(Object.keys(member)),
  inner: new WatchedKeys(Object.keys(param)),
  innerOf: member.params,
};

/** Reads one request, notification or response; never throws. */
export function parseMessage(bytes: Uint8Array): ParsedMessage {
  const json = readStrictJson(bytes, judged);
  if (typeof json === 'string') return invalid(json);
  if (json.kind === 'array') return invalid('Batch');
  if (json.kind !== 'object' || !json.root.is(member.jsonrpc, '2.0')) return invalid('NotJsonRpc');
  if (json.root.hasAnyLookalike()) return invalid('LookalikeKey');
  return classify(json);
}

function invalid(problem: MessageProblem, id?: RequestId): ParsedMessage {
  return id === undefined ? { kind: 'invalid', problem } : { kind: 'invalid', problem, id };
}

function classify(json: StrictJson): ParsedMessage {
  const { root } = json;
  const id = readId(root.value(member.id));
  if (id === undefined && root.has(member.id)) return invalid('BadId');
  const outcomes = Number(root.has(member.result)) + Number(root.has(member.error));
  if (root.has(member.method)) return outcomes === 0 ? classifyCall(json, id) : invalid('NotJsonRpc');
  if (id === undefined || outcomes !== 1) return invalid('NotJsonRpc');
  return { kind: 'message', message: { kind: 'response', id } };
}

/** MCP: a string or an integer, never null. An integer that a parser would round is no id that two sides agree on. */
function readId(value: unknown): RequestId | undefined {
  if (typeof value === 'string') return value.length <= idCharsMax ? value : undefined;
  return Number.isSafeInteger(value) ? Number(value) : undefined;
}

function classifyCall({ root, inner: params }: StrictJson, id: RequestId | undefined): ParsedMessage {
  const method = readMethod(root);
  if (method === undefined) return invalid('BadMethod', id);
  if ((root.kindOf(member.params) ?? 'object') !== 'object') return invalid('BadParams', id);
  if (hasLookalike(params, method)) return invalid('LookalikeKey', id);
  const meta = readObject(params, param._meta);
  const protocolVersion = meta?.[protocolVersionKey];
  if (protocolVersion !== undefined && typeof protocolVersion !== 'string') return invalid('BadProtocolVersion', id);
  const era = eraOf(method, meta, protocolVersion);
  return id === undefined
    ? { kind: 'message', message: { kind: 'notification', method, era, protocolVersion } }
    : classifyRequest({ id, method, era, protocolVersion }, params, meta);
}

/** A text that is no Unicode, such as half a surrogate pair, is another text to whoever must make Unicode of it. */
function readMethod(root: ObjectOutline): string | undefined {
  const method = readText(root, member.method);
  if (method === undefined || method === '' || method.length > methodCharsMax) return undefined;
  return method.isWellFormed() ? method : undefined;
}

function hasLookalike(params: ObjectOutline, method: string): boolean {
  const parameter = nameParameter(method);
  return params.hasLookalike(param._meta) || (parameter !== undefined && params.hasLookalike(param[parameter]));
}

/**
 * A claim of a revision makes a message modern; whether the claim is any good is the upstream's to say. Only `initialize`, the
 * handshake of the legacy era, takes a claim that is whole (as the official SDK's `classifyInboundRequest`).
 */
function eraOf(method: string, meta: JsonObject | undefined, protocolVersion: string | undefined): Era {
  if (protocolVersion === undefined) return 'legacy';
  if (method !== initialize) return 'modern';
  return isModernVersion(protocolVersion) && isObject(meta?.[clientCapabilitiesKey]) ? 'modern' : 'legacy';
}

function classifyRequest(
  facts: Pick<RequestMessage, 'id' | 'method' | 'era' | 'protocolVersion'>,
  params: ObjectOutline,
  meta: JsonObject | undefined,
): ParsedMessage {
  const { id, method, era, protocolVersion } = facts;
  const parameter = nameParameter(method);
  const name = parameter === undefined ? undefined : readText(params, param[parameter]);
  // Every user's tasks are kept apart by their ids, which are texts.
  const isOther = parameter === 'taskId' && name === undefined && params.has(param.taskId);
  if (isOther || name?.isWellFormed() === false) return invalid('BadName', id);
  const capabilities = method === initialize ? readObject(params, param.capabilities) : meta?.[clientCapabilitiesKey];
  const traceparent = meta?.['traceparent'];
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
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    },
  };
}

/** `elicitation: {}` means forms only. */
function readElicitsUrl(capabilities: unknown): boolean {
  const elicitation = isObject(capabilities) ? capabilities['elicitation'] : undefined;
  return isObject(elicitation) && isObject(elicitation['url']);
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readObject(outline: ObjectOutline, index: number): JsonObject | undefined {
  const found = outline.kindOf(index) === 'object' ? outline.value(index) : undefined;
  return isObject(found) ? found : undefined;
}

function readText(outline: ObjectOutline, index: number): string | undefined {
  const found = outline.kindOf(index) === 'string' ? outline.value(index) : undefined;
  return typeof found === 'string' ? found : undefined;
}
