import { rpcCodes } from '../mcp/answers.ts';
import { methodLabel, toolCall } from '../mcp/methods.ts';
import type { EndedRequest } from '../proxy/exchange.ts';
import { escapeLabel } from './exposition.ts';

/** Most tools that have series of their own; clients choose names, so there must be an end to them. */
export const toolLabelsMax = 48;
const toolCharsMax = 64;

const other = '_OTHER';

/** Codes with a label of their own: what the protocol and the SDKs say, and what we say. */
const knownCodes: ReadonlySet<number> = new Set(
  [-32_700, -32_600, -32_601, -32_602, -32_603, -32_000, -32_001, -32_002, -32_020, -32_021, -32_022, -32_042].concat(
    Object.values(rpcCodes),
  ),
);
const knownStatuses: ReadonlySet<number> = new Set([400, 401, 403, 404, 405, 406, 413, 415, 429, 500, 502, 503, 504]);

/** Labels of an MCP operation as the OpenTelemetry conventions name them (`mcp.server.operation.duration`). All from small sets. */
export class OperationLabels {
  /** What stands between the quotes, by tool. */
  readonly #tools = new Map<string, string>();

  /** `undefined` for what is no operation: streams that clients keep open, notifications, what is no message. */
  of(ended: EndedRequest): string | undefined {
    const { message, isOpen } = ended.record;
    if (message?.kind !== 'request' || isOpen) return undefined;
    const tool = message.method === toolCall ? `,gen_ai_tool_name="${this.#tool(message.tool, ended)}"` : '';
    const errorType = errorTypeOf(ended);
    const error = errorType === undefined ? '' : `,error_type="${errorType}"`;
    return `mcp_method_name="${methodLabel(message.method)}"${tool}${error}`;
  }

  /** A tool is known by a result that the server gave for it. */
  #tool(name: string | undefined, { record }: EndedRequest): string {
    if (name === undefined) return other;
    const known = this.#tools.get(name);
    if (known !== undefined) return known;
    const exists = record.upstreamFirstByteMs !== undefined && record.rpcStatus === 0;
    if (!exists || name.length > toolCharsMax || this.#tools.size >= toolLabelsMax) return other;
    const label = escapeLabel(name);
    this.#tools.set(name, label);
    return label;
  }
}

/** `error.type`: the JSON-RPC code, or `tool_error` for a tool that says it failed. */
function errorTypeOf({ record, httpStatus }: EndedRequest): string | undefined {
  const { rpcStatus, isError, decision } = record;
  if (decision === 'clientClosed') return 'client_closed';
  if (rpcStatus !== undefined && rpcStatus !== 0) return knownCodes.has(rpcStatus) ? String(rpcStatus) : other;
  if (isError === true) return 'tool_error';
  if (httpStatus < 400) return undefined;
  return knownStatuses.has(httpStatus) ? String(httpStatus) : other;
}
