/** The everything server of SDK v2: both eras on one port, every scenario of the conformance suite. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { classifyInboundRequest, createMcpHandler, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { keyedServer, type KeyedServerOptions, type Posted, SessionEvents } from './keyed-server.ts';
import { prompts, resources, template, templateText } from './contents.ts';
import { registerRounds, stateCodec } from './v2-rounds.ts';
import { registerJobs, Tasks, tasksExtension } from './v2-tasks.ts';
import { registerTools } from './v2-tools.ts';

type EverythingOptions = Pick<KeyedServerOptions, 'authorization' | 'certificate'>;

export function everythingV2({ authorization, certificate }: EverythingOptions): Server {
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>();
  const around = {
    get notify() {
      return modern.notify;
    },
    closeStream(sessionId: string | undefined, requestId: string | number): void {
      if (sessionId !== undefined) sessions.get(sessionId)?.closeSSEStream(requestId);
    },
  };
  const modern = createMcpHandler(() => newServer(around));
  const handleModern = toNodeHandler(modern);
  const tasks = new Tasks();

  async function begin(): Promise<NodeStreamableHTTPServerTransport> {
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new SessionEvents(),
      retryInterval: 500,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await newServer(around).connect(transport);
    return transport;
  }

  return keyedServer({
    authorization,
    certificate,
    sessions,
    begin,
    serveModern: (request, response, body) =>
      isLegacy(request, body)
        ? undefined
        : tasks.serve(request, response, body)
          ? Promise.resolve()
          : handleModern(request, response, body),
  });
}

function isLegacy(request: Posted, body: unknown): boolean {
  const { 'mcp-protocol-version': version, 'mcp-method': method } = request.headers;
  return (
    classifyInboundRequest({
      httpMethod: 'POST',
      ...(version !== undefined && { protocolVersionHeader: String(version) }),
      ...(method !== undefined && { mcpMethodHeader: String(method) }),
      body,
    }).kind === 'legacy'
  );
}

function newServer(around: Parameters<typeof registerTools>[1]): McpServer {
  const server = new McpServer(
    { name: 'everything-v2', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        logging: {},
        completions: {},
        extensions: { [tasksExtension]: {} },
      },
      requestState: { verify: (state, context) => stateCodec.verify(state, context) },
    },
  );
  registerTools(server, around);
  registerRounds(server);
  registerJobs(server);
  registerResources(server);
  registerPrompts(server);
  server.server.setRequestHandler('logging/setLevel', () => ({}));
  server.server.setRequestHandler('completion/complete', () => ({
    completion: { values: [], total: 0, hasMore: false },
  }));
  return server;
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
  server.server.setRequestHandler('resources/subscribe', () => ({}));
  server.server.setRequestHandler('resources/unsubscribe', () => ({}));
}

function registerPrompts(server: McpServer): void {
  for (const name of ['test_simple_prompt', 'test_prompt_with_image'] as const) {
    server.registerPrompt(name, { description: name }, () => ({ messages: prompts[name]() }));
  }
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'Repeats its arguments',
      argsSchema: z.object({ arg1: z.string().describe('First'), arg2: z.string().describe('Second') }),
    },
    (args) => ({ messages: prompts.test_prompt_with_arguments(args) }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'Embeds', argsSchema: z.object({ resourceUri: z.string().describe('What to embed') }) },
    (args) => ({ messages: prompts.test_prompt_with_embedded_resource(args) }),
  );
}
