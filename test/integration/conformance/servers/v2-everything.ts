/**
 * The everything server of SDK v2: both eras on one port, every scenario of the conformance suite. It is a server that needs a key,
 * as those behind a sidecar do: who does not show it gets 401.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import {
  classifyInboundRequest,
  createMcpHandler,
  type EventStore,
  isInitializeRequest,
  localhostAllowedHostnames,
  McpServer,
  ResourceTemplate,
  validateHostHeader,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { prompts, resources, template, templateText } from './contents.ts';
import { registerRounds, stateCodec } from './v2-rounds.ts';
import { registerTools } from './v2-tools.ts';

export interface EverythingOptions {
  /** Value of the header Authorization that callers have to show. */
  readonly authorization: string;
}

export function everythingV2({ authorization }: EverythingOptions): Server {
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

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = validateHostHeader(request.headers.host ?? '', localhostAllowedHostnames());
    if (!host.ok) return refuse(response, 403, host.message);
    if (request.headers.authorization !== authorization) return refuse(response, 401, 'A key is needed');
    const body = request.method === 'POST' ? await readJson(request) : undefined;
    if (request.method === 'POST' && !isLegacy(request, body)) return handleModern(request as Posted, response, body);
    const id = request.headers['mcp-session-id'] as string | undefined;
    const transport = id === undefined && isInitializeRequest(body) ? await begin() : sessions.get(id ?? '');
    if (transport !== undefined) return transport.handleRequest(request, response, body);
    if (id === undefined) return refuse(response, 400, 'Bad Request: Session ID required');
    return refuse(response, 404, 'Session not found');
  }

  async function begin(): Promise<NodeStreamableHTTPServerTransport> {
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new Events(),
      retryInterval: 500,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await newServer(around).connect(transport);
    return transport;
  }

  return createServer(((request, response) => void answer(request, response)) satisfies RequestListener);
}

/** Node gives every request of a server both. */
type Posted = IncomingMessage & { method: string; url: string };

function isLegacy(request: IncomingMessage, body: unknown): boolean {
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

function refuse(response: ServerResponse, status: number, message: string): void {
  const code = status === 404 ? -32_001 : -32_000;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return undefined;
  }
}

/** Events of one session; ids grow, so that what came after one is known. */
class Events implements EventStore {
  readonly #events: { readonly id: string; readonly streamId: string; readonly message: object }[] = [];

  storeEvent(streamId: string, message: object): Promise<string> {
    const id = `${streamId}::${String(this.#events.length).padStart(6, '0')}`;
    this.#events.push({ id, streamId, message });
    return Promise.resolve(id);
  }

  async replayEventsAfter(lastEventId: string, { send }: Parameters<EventStore['replayEventsAfter']>[1]) {
    const streamId = lastEventId.split('::')[0] ?? '';
    for (const { id, message, ...event } of this.#events) {
      const isLater = event.streamId === streamId && id > lastEventId;
      // An event without a message only said where to resume.
      if (isLater && Object.keys(message).length > 0) await send(id, message as never);
    }
    return streamId;
  }
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
      },
      requestState: { verify: (state, context) => stateCodec.verify(state, context) },
    },
  );
  registerTools(server, around);
  registerRounds(server);
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
