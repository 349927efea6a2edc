import type { StrictJsonProblem } from './strict-json.ts';
import { parseStrictJson } from './strict-json.ts';
import { initialize, nameParameter, toolCall } from './methods.ts';

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

export type MessageProblem = StrictJsonProblem | 'Batch' | 'NotJsonRpc' | 'BadId' | 'BadMethod' | 'BadParams';

export const methodCharsMax = 256;
export const idCharsMax = 256;
export const protocolVersionKey = 'io.modelcontextprotocol/protocolVersion';
const clientCapabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';

/** Reads one request, notification or response; never throws. */
export function parseMessage(bytes: Uint8Array): ParsedMessage {
  const json = parseStrictJson(bytes);
  if (json.kind === 'invalid') return { kind: 'invalid', problem: json.problem };
  if (Array.isArray(json.value)) return { kind: 'invalid', problem: 'Batch' };
  if (!isObject(json.value) || json.value['jsonrpc'] !== '2.0') return { kind: 'invalid', problem: 'NotJsonRpc' };
  return classify(json.value);
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function classify(body: JsonObject): ParsedMessage {
  const hasId = Object.hasOwn(body, 'id');
  const id = readId(body['id']);
  if (hasId && id === undefined) return { kind: 'invalid', problem: 'BadId' };
  if (Object.hasOwn(body, 'method')) {
    return id === undefined ? classifyNotification(body) : classifyRequest(body, id);
  }
  const isResponse = Object.hasOwn(body, 'result') !== Object.hasOwn(body, 'error');
  if (id === undefined || !isResponse) return { kind: 'invalid', problem: 'NotJsonRpc' };
  return { kind: 'message', message: { kind: 'response', id } };
}

/** MCP: a string or an integer, never null. An integer that a parser would round is no id that two sides agree on. */
function readId(value: unknown): RequestId | undefined {
  if (typeof value === 'string') return value.length <= idCharsMax ? value : undefined;
  return Number.isSafeInteger(value) ? Number(value) : undefined;
}

function readMethod(body: JsonObject): string | undefined {
  const method = body['method'];
  return typeof method === 'string' && method !== '' && method.length <= methodCharsMax ? method : undefined;
}

function classifyNotification(body: JsonObject): ParsedMessage {
  const method = readMethod(body);
  if (method === undefined) return { kind: 'invalid', problem: 'BadMethod' };
  return { kind: 'message', message: { kind: 'notification', method } };
}

function classifyRequest(body: JsonObject, id: RequestId): ParsedMessage {
  const method = readMethod(body);
  if (method === undefined) return { kind: 'invalid', problem: 'BadMethod', id };
  const params = body['params'];
  if (params !== undefined && !isObject(params)) return { kind: 'invalid', problem: 'BadParams', id };
  const meta = readObject(params, '_meta');
  const protocolVersion = readText(meta, protocolVersionKey);
  const name = readName(method, params);
  return {
    kind: 'message',
    message: {
      kind: 'request',
      id,
      method,
      era: protocolVersion === undefined ? 'legacy' : 'modern',
      protocolVersion,
      tool: method === toolCall ? name : undefined,
      name,
      elicitsUrl: readElicitsUrl(
        method === initialize ? readObject(params, 'capabilities') : readObject(meta, clientCapabilitiesKey),
      ),
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
