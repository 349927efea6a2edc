/** The everything server of SDK v1: sessions, revisions up to 2025-11-25. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CompleteRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import {
  constantTools,
  type FormTool,
  formOutcome,
  forms,
  prompts,
  resources,
  say,
  template,
  templateText,
  toolFailure,
} from './contents.ts';
import { keyedServer, SessionEvents } from './keyed-server.ts';

export function everythingV1({ authorization }: { readonly authorization: string }): Server {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  async function begin(): Promise<StreamableHTTPServerTransport> {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new SessionEvents(),
      retryInterval: 500,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await newServer().connect(transport);
    return transport;
  }
  return keyedServer({ authorization, sessions, begin });
}

function newServer(): McpServer {
  const server = new McpServer(
    { name: 'everything-v1', version: '1.0.0' },
    { capabilities: { resources: { subscribe: true, listChanged: true }, logging: {}, completions: {} } },
  );
  for (const [name, content] of Object.entries(constantTools)) {
    server.registerTool(name, { description: 'Always answers the same' }, () => ({ content }));
  }
  server.registerTool('test_error_handling', { description: 'Fails' }, () => {
    throw new Error(toolFailure);
  });
  registerNotifyingTools(server);
  registerAskingTools(server);
  registerResources(server);
  registerPrompts(server);
  server.server.setRequestHandler(SetLevelRequestSchema, () => ({}));
  server.server.setRequestHandler(CompleteRequestSchema, () => ({
    completion: { values: [], total: 0, hasMore: false },
  }));
  return server;
}

const description = 'Called by the conformance suite';

function registerNotifyingTools(server: McpServer): void {
  server.registerTool('test_tool_with_logging', { description }, async ({ sendNotification }) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      await sleep(50);
    }
    return say('Tool with logging executed successfully');
  });
  server.registerTool('test_tool_with_progress', { description }, async ({ sendNotification, _meta }) => {
    const progressToken = _meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
      const params = { progressToken: progressToken!, progress, total: 100 };
      await sendNotification({ method: 'notifications/progress', params });
      await sleep(50);
    }
    return say(String(progressToken ?? 'no-progress-token'));
  });
  server.registerTool('test_reconnection', { description }, async ({ closeSSEStream }) => {
    closeSSEStream?.();
    await sleep(100);
    return say('Reconnection test completed successfully.');
  });
}

function registerAskingTools(server: McpServer): void {
  const prompting = { description, inputSchema: { prompt: z.string() } };
  server.registerTool('test_sampling', prompting, async ({ prompt }, { sendRequest }) => {
    const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
    const params = { messages, maxTokens: 100 };
    const { content } = await sendRequest({ method: 'sampling/createMessage', params }, CreateMessageResultSchema);
    return say(`LLM response: ${'text' in content ? content.text : 'No response'}`);
  });
  const asking = { description, inputSchema: { message: z.string().default('Please fill in the form') } };
  for (const tool of Object.keys(forms) as FormTool[]) {
    server.registerTool(tool, asking, async ({ message }, { sendRequest }) => {
      const params = { message, requestedSchema: forms[tool] };
      return say(formOutcome(tool, await sendRequest({ method: 'elicitation/create', params }, ElicitResultSchema)));
    });
  }
}

function registerResources(server: McpServer): void {
  for (const [name, { uri, mimeType, body }] of Object.entries(resources)) {
    server.registerResource(name, uri, { title: name, mimeType }, () => ({ contents: [{ uri, mimeType, ...body }] }));
  }
  const { mimeType } = template;
  server.registerResource(
    template.name,
    new ResourceTemplate(template.uri, { list: undefined }),
    { title: template.name, mimeType },
    (uri, { id }) => ({ contents: [{ uri: uri.href, mimeType, text: templateText(String(id)) }] }),
  );
  server.server.setRequestHandler(SubscribeRequestSchema, () => ({}));
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}));
}

function registerPrompts(server: McpServer): void {
  for (const name of ['test_simple_prompt', 'test_prompt_with_image'] as const) {
    server.registerPrompt(name, { description: name }, () => ({ messages: prompts[name]() }));
  }
  server.registerPrompt(
    'test_prompt_with_arguments',
    { description, argsSchema: { arg1: z.string().describe('First'), arg2: z.string().describe('Second') } },
    (args) => ({ messages: prompts.test_prompt_with_arguments(args) }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description, argsSchema: { resourceUri: z.string().describe('What to embed') } },
    (args) => ({ messages: prompts.test_prompt_with_embedded_resource(args) }),
  );
}
