import type { PolicySnapshot, ToolRules } from '../../contract/watch.ts';
import { toolCall } from '../../mcp/methods.ts';
import { noTool, type ToolFilter, toolFilter } from '../../mcp/tool-rules.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Layer, RequestRecord } from '../exchange.ts';

/** The filter that is in force for the user of a request at the moment of asking; undefined while every tool may be called. */
export type ToolsInForce = (record: Pick<RequestRecord, 'userRules'>) => ToolFilter | undefined;

/** A policy does not change, it is replaced: its rules are compiled once. Without a policy nobody may call anything. */
export function toolsInForce(policy: () => PolicySnapshot | undefined): ToolsInForce {
  let compiledOf: PolicySnapshot | undefined;
  let filter: ToolFilter | undefined = noTool;
  return ({ userRules }) => {
    const current = policy();
    if (current !== compiledOf) {
      compiledOf = current;
      filter = current === undefined ? noTool : toolFilter(current.tools);
    }
    return userRules?.tools === undefined ? filter : both(filter, filterOfUser(userRules.tools));
  };
}

/** Rules of users last as long as leases, and are compiled once for each. */
const filtersOfUsers = new WeakMap<readonly ToolRules[], ToolFilter | undefined>();

function filterOfUser(rules: readonly ToolRules[]): ToolFilter | undefined {
  if (!filtersOfUsers.has(rules)) filtersOfUsers.set(rules, toolFilter(rules));
  return filtersOfUsers.get(rules);
}

function both(one: ToolFilter | undefined, other: ToolFilter | undefined): ToolFilter | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return { allows: (tool) => one.allows(tool) && other.allows(tool) };
}

/** Refuses calls of tools that the policy does not let users call. The name is the body's, which is what the upstream reads. */
export function authorizeTool<R extends ClassifiedRequest>(tools: ToolsInForce): Layer<R> {
  return (inner) =>
    function authorizeToolCall(request) {
      const { message } = request;
      if (message === undefined || message.kind === 'response' || message.method !== toolCall) return inner(request);
      const filter = tools(request.record);
      if (filter === undefined) return inner(request);
      // A server may take a call without an id for a call all the same; there is no tool in it that could be judged.
      if (message.kind === 'notification') throw new ProxyError('InvalidMessage', 'A tool call needs an id.');
      if (message.tool !== undefined && filter.allows(message.tool)) return inner(request);
      throw new ProxyError('ToolDenied', describeDenial(message.tool));
    };
}

const toolCharsShown = 128;

function describeDenial(tool: string | undefined): string {
  if (tool === undefined) return 'A tool call has to name a tool.';
  return `The policy of this server does not allow the tool ${JSON.stringify(tool.slice(0, toolCharsShown))}.`;
}
