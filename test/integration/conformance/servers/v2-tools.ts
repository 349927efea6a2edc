/** Tools that both eras of the SDK v2 server have. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CallToolResult,
  fromJsonSchema,
  type InputRequiredResult,
  inputRequired,
  type McpHttpHandler,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { constantTools, type FormTool, formOutcome, forms, say, schemaOf2020, toolFailure } from './contents.ts';

/** Lists have to describe every tool. */
function taking<Schema>(inputSchema: Schema) {
  return { description: 'Called by the conformance suite', inputSchema };
}

const nothing = taking(z.object({}));

export interface Announcer {
  readonly notify: McpHttpHandler['notify'];
}

export interface StreamCloser {
  /** Ends the event stream of a request without ending the request (SEP-1699). */
  closeStream(sessionId: string | undefined, requestId: string | number): void;
}

export function registerTools(server: McpServer, around: Announcer & StreamCloser): void {
  for (const [name, content] of Object.entries(constantTools)) {
    server.registerTool(name, { description: 'Always answers the same' }, () => ({ content }));
  }
  server.registerTool('test_error_handling', { description: 'Fails' }, () => {
    throw new Error(toolFailure);
  });
  registerSchemaTools(server);
  registerNotifyingTools(server, around);
  registerAskingTools(server);
  registerStatelessTools(server);
}

function registerSchemaTools(server: McpServer): void {
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'JSON Schema 2020-12 (SEP-1613, SEP-2106)', inputSchema: fromJsonSchema(schemaOf2020) },
    (args) => say(`JSON Schema 2020-12 tool called with: ${JSON.stringify(args)}`),
  );
  const properties = { region: { type: 'string', 'x-mcp-header': 'Region' }, level: { type: 'integer' } };
  server.registerTool(
    'test_x_mcp_header',
    {
      description: 'An argument that headers repeat (SEP-2243)',
      inputSchema: fromJsonSchema<{ region?: string; level?: number }>({ type: 'object', properties }),
    },
    ({ region }) => say(`region=${region ?? '<none>'}`),
  );
}

function registerNotifyingTools(server: McpServer, around: Announcer & StreamCloser): void {
  server.registerTool('test_tool_with_logging', nothing, async (_args, context) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await context.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
      await sleep(50);
    }
    return say('Tool with logging executed successfully');
  });
  server.registerTool('test_tool_with_progress', nothing, async (_args, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    if (progressToken !== undefined) await reportProgress(context, progressToken);
    return say(String(progressToken ?? 'no-progress-token'));
  });
  server.registerTool('test_reconnection', nothing, async (_args, context) => {
    around.closeStream(context.sessionId, context.mcpReq.id);
    await sleep(100);
    return say('Reconnection test completed successfully.');
  });
  server.registerTool('test_trigger_tool_change', nothing, () => {
    around.notify.toolsChanged();
    return say('tools_list_changed published');
  });
  server.registerTool('test_trigger_prompt_change', nothing, () => {
    around.notify.promptsChanged();
    return say('prompts_list_changed published');
  });
}

async function reportProgress(context: ServerContext, progressToken: string | number): Promise<void> {
  for (const progress of [0, 50, 100]) {
    const params = { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` };
    await context.mcpReq.notify({ method: 'notifications/progress', params });
    await sleep(50);
  }
}

/** Tools that ask the client on its open stream, as revisions up to 2025-11-25 do. */
function registerAskingTools(server: McpServer): void {
  server.registerTool(
    'test_sampling',
    taking(z.object({ prompt: z.string() })),
    async ({ prompt }, context): Promise<CallToolResult> => {
      const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
      const params = { messages, maxTokens: 100 };
      const { content } = await context.mcpReq.send({ method: 'sampling/createMessage', params });
      return say(`LLM response: ${'text' in content ? content.text : 'No response'}`);
    },
  );
  for (const tool of Object.keys(forms) as FormTool[]) {
    server.registerTool(
      tool,
      taking(z.object({ message: z.string().default('Please fill in the form') })),
      async ({ message }, context): Promise<CallToolResult> => {
        const params = { message, requestedSchema: forms[tool] };
        return say(formOutcome(tool, await context.mcpReq.send({ method: 'elicitation/create', params })));
      },
    );
  }
}

/** What the scenario `server-stateless` calls (SEP-2575). */
function registerStatelessTools(server: McpServer): void {
  server.registerTool('test_missing_capability', nothing, (_args, { mcpReq }): CallToolResult | InputRequiredResult => {
    if (mcpReq.inputResponses?.['llm_answer'] !== undefined) return say('sampling round-trip complete');
    const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: 'Say pong' } }];
    return inputRequired({ inputRequests: { llm_answer: inputRequired.createMessage({ messages, maxTokens: 16 }) } });
  });
  server.registerTool('test_streaming_elicitation', nothing, () => say('no requests of the server'));
  server.registerTool('test_logging_tool', nothing, async (_args, { mcpReq }) => {
    await mcpReq.log('info', 'only for those who set a log level');
    return say('logged');
  });
}
