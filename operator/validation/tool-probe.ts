import type { UserKeyPolicyTool } from '#crds/v1alpha1/generated/user-key-policy.ts';

import { type Network, ProbeFailure } from './checked-request.ts';
import { meets } from './expectation.ts';
import { headerText, McpClient, type McpEndpoint, type RpcExchange } from './mcp-client.ts';
import { asObject, type RpcAnswer } from './mcp-message.ts';
import type { ProbeOutcome } from './verdict.ts';

/** Pages of `tools/list` that are read. */
const pagesMax = 20;

type Result = Readonly<Record<string, unknown>>;
type Listed =
  | { readonly kind: 'outcome'; readonly outcome: ProbeOutcome }
  | { readonly kind: 'tool'; readonly tool: Result };

/** Calls the tool as a client would, in the era that the server speaks. @throws ProbeFailure */
export async function probeByTool(
  endpoint: McpEndpoint,
  tool: UserKeyPolicyTool,
  network: Network,
): Promise<ProbeOutcome> {
  const client = new McpClient(endpoint, network);
  const first = await client.request('tools/list', {});
  if (first.answer?.kind === 'result') return await callListed(client, { tool, first });
  if (isVerdict(first.status)) return statusOutcome(first.status);
  try {
    const begun = await client.beginSession();
    if (begun.answer?.kind !== 'result') return refusalOf(begun);
    return await callListed(client, { tool, first: await client.request('tools/list', {}) });
  } finally {
    await client.endSession();
  }
}

interface Call {
  readonly tool: UserKeyPolicyTool;
  /** The first page of the list. */
  readonly first: RpcExchange;
}

async function callListed(client: McpClient, { tool, first }: Call): Promise<ProbeOutcome> {
  const listed = await findTool(client, tool.name, first);
  if (listed.kind === 'outcome') return listed.outcome;
  const args = asObject(tool.arguments) ?? {};
  const called = await client.request(
    'tools/call',
    { name: tool.name, arguments: args },
    paramHeaders(listed.tool, args),
  );
  if (called.answer?.kind !== 'result') return refusalOf(called);
  return outcomeOf(called.answer.result, tool);
}

async function findTool(client: McpClient, name: string, first: RpcExchange): Promise<Listed> {
  let page = first;
  for (let count = 0; count < pagesMax; count += 1) {
    if (page.answer?.kind !== 'result') return { kind: 'outcome', outcome: refusalOf(page) };
    const { tools, nextCursor } = page.answer.result;
    const tool = (Array.isArray(tools) ? tools : []).map(asObject).find((one) => one?.['name'] === name);
    if (tool !== undefined) return { kind: 'tool', tool };
    if (typeof nextCursor !== 'string') break;
    page = await client.request('tools/list', { cursor: nextCursor });
  }
  throw new ProbeFailure('ToolNotListed');
}

function outcomeOf(result: Result, { expect }: UserKeyPolicyTool): ProbeOutcome {
  // `input_required`, or a task: nobody is there to answer, or to wait.
  if ((result['resultType'] ?? 'complete') !== 'complete') throw new ProbeFailure('CallRefused');
  return {
    kind: 'toolResult',
    isError: result['isError'] === true,
    meets: expect === undefined || meets(result, expect),
  };
}

/** Revision 2026-07-28, "x-mcp-header": arguments that go along as headers. Servers of the legacy era do not look at them. */
function paramHeaders(tool: Result, args: Result): Readonly<Record<string, string>> {
  const properties = asObject(asObject(tool['inputSchema'])?.['properties']) ?? {};
  return Object.fromEntries(
    Object.entries(properties).flatMap(([name, schema]) => {
      const header = asObject(schema)?.['x-mcp-header'];
      const value = args[name];
      if (typeof header !== 'string' || !/^[A-Za-z0-9-]{1,64}$/u.test(header)) return [];
      const isSendable = ['string', 'number', 'boolean'].includes(typeof value);
      return isSendable ? [[`mcp-param-${header.toLowerCase()}`, headerText(String(value))]] : [];
    }),
  );
}

function isVerdict(status: number): boolean {
  return status === 401 || status === 403 || status === 429 || status >= 500;
}

function statusOutcome(status: number): ProbeOutcome {
  return { kind: 'status', status, isExpected: false, meets: false };
}

/** Instead of a result. @throws ProbeFailure */
function refusalOf({ status, answer }: RpcExchange): ProbeOutcome {
  if (status < 200 || status >= 300) return statusOutcome(status);
  throw new ProbeFailure(answer?.kind === 'error' ? reasonOfError(answer) : 'AnswerUnreadable');
}

/** Codes of the proxy for what is between it and the upstream; all others are the server's, about the call. */
function reasonOfError({ code }: Extract<RpcAnswer, { kind: 'error' }>): 'Unreachable' | 'CallRefused' {
  return code >= 1_500 && code <= 1_599 ? 'Unreachable' : 'CallRefused';
}
