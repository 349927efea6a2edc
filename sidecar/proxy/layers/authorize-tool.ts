import type { PolicySnapshot } from '../../contract/watch.ts';
import { toolCall } from '../../mcp/methods.ts';
import { noTool, type ToolFilter, toolFilter } from '../../mcp/tool-rules.ts';
import { ProxyError } from '../errors.ts';
import type { ClassifiedRequest, Layer } from '../exchange.ts';

/** The filter of the policy that is in force at the moment of asking; undefined while every tool may be called. */
export type ToolsInForce = () => ToolFilter | undefined;

/** A policy does not change, it is replaced: its rules are compiled once. Without a policy nobody may call anything. */
export function toolsInForce(policy: () => PolicySnapshot | undefined): ToolsInForce {
  let compiledOf: PolicySnapshot | undefined;
  let filter: ToolFilter | undefined = noTool;
  return () => {
    const current = policy();
    if (current !== compiledOf) {
      compiledOf = current;
      filter = current === undefined ? noTool : toolFilter(current.tools);
    }
    return filter;
  };
}

/** Refuses calls of tools that the policy does not let users call. The name is the body's, which is what the upstream reads. */
export function authorizeTool<R extends ClassifiedRequest>(tools: ToolsInForce): Layer<R> {
  return (inner) =>
    function authorizeToolCall(request) {
      const { message } = request;
      if (message === undefined || message.kind === 'response' || message.method !== toolCall) return inner(request);
      const filter = tools();
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
