/** An MCP server of the official SDK, both eras and with sessions, that answers 401 to keys that it does not know. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { classifyInboundRequest, createMcpHandler, isInitializeRequest, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

export class KeyedServer {
  readonly server: Server;
  /** Values of X-Api-Key that it takes. Without one, everything but calls is answered. */
  readonly keys = new Set<string>();
  /** Bodies of calls that it let in, and the keys they came with. */
  readonly calls: { readonly body: string; readonly key: string | undefined }[] = [];
  refusals = 0;

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(): Promise<KeyedServer> {
    const sessions = new Map<string, NodeStreamableHTTPServerTransport>();
    const modern = toNodeHandler(createMcpHandler(newServer));
    const server = createServer(((request, response) => void answer(request, response)) satisfies RequestListener);
    const keyed = new KeyedServer(server);

    async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
      const text = await readText(request);
      if (!keyed.#letsIn(request, text)) {
        const challenge = 'Bearer resource_metadata="https://upstream.example/.well-known/oauth-protected-resource"';
        response.writeHead(401, { 'www-authenticate': challenge }).end('who are you?');
        return;
      }
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      if (isModern(request, body)) return modern(request as Posted, response, body);
      const id = request.headers['mcp-session-id'] as string | undefined;
      const transport = isInitializeRequest(body) ? await begin() : sessions.get(id ?? '');
      if (transport === undefined) response.writeHead(404).end();
      else await transport.handleRequest(request, response, body);
    }

    async function begin(): Promise<NodeStreamableHTTPServerTransport> {
      const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => void sessions.set(id, transport),
      });
      await newServer().connect(transport);
      return transport;
    }

    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return keyed;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  #letsIn({ headers }: IncomingMessage, body: string): boolean {
    const key = headers['x-api-key'] as string | undefined;
    const isCall = body.includes('"tools/call"');
    const isGood = key === undefined ? !isCall : this.keys.has(key);
    if (!isGood) this.refusals += 1;
    else if (isCall) this.calls.push({ body, key });
    return isGood;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

type Posted = IncomingMessage & { method: string; url: string };

function newServer(): McpServer {
  const server = new McpServer({ name: 'keyed', version: '1.0.0' });
  const echo = { description: 'Echo', inputSchema: z.object({ text: z.string() }) };
  server.registerTool('echo', echo, ({ text }) => ({ content: [{ type: 'text', text }] }));
  return server;
}

function isModern({ method, headers }: IncomingMessage, body: unknown): boolean {
  if (method !== 'POST') return false;
  const version = headers['mcp-protocol-version'];
  const said = version === undefined ? {} : { protocolVersionHeader: String(version) };
  return classifyInboundRequest({ httpMethod: 'POST', ...said, body }).kind === 'modern';
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
