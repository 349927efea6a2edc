/** MCP servers behind the sidecar: one that writes down what it gets, one of the official SDK. */
import { hash } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, type McpRequestContext, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { TestCertificate } from '#test/support/test-certificates.ts';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Responder = (request: IncomingMessage, response: ServerResponse, body: string) => void | Promise<void>;

export class Upstream {
  readonly server: Server;
  readonly received: Received[] = [];
  /** Connections that the proxy closed before their response was complete. */
  aborted = 0;

  private constructor(server: Server) {
    this.server = server;
  }

  /** Writes every request down and lets `respond` answer; without it, with the result `{}`. With a certificate, over TLS. */
  static async recording(respond: Responder = answerOk, tls?: TestCertificate): Promise<Upstream> {
    const listener: RequestListener = (request, response) => void upstream.#record(request, response, respond);
    const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
    const upstream = new Upstream(server);
    await upstream.#listen();
    return upstream;
  }

  static async sdk(tls?: TestCertificate): Promise<Upstream> {
    const handle = toNodeHandler(createMcpHandler(serverFor)) as RequestListener;
    const upstream = new Upstream(tls === undefined ? createServer(handle) : createSecureServer(tls, handle));
    await upstream.#listen();
    return upstream;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
  }

  async #record(request: IncomingMessage, response: ServerResponse, respond: Responder): Promise<void> {
    response.on('close', () => {
      if (!response.writableEnded) this.aborted += 1;
    });
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks).toString();
    const { method = '', url = '', rawHeaders, headers } = request;
    this.received.push({ method, url, rawHeaders, headers, body });
    await respond(request, response, body);
  }
}

export function answerOk(_request: IncomingMessage, response: ServerResponse, body: string): void {
  const { id } = JSON.parse(body === '' ? '{}' : body) as { id?: unknown };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, result: {} }));
}

/** What tells a key from others in an answer, where the key itself would be masked. */
export function keyMark(key: string | null | undefined): string {
  return key === null || key === undefined ? 'none' : hash('sha256', key).slice(0, 12);
}

/** One tool that says with which key it was called, one that reports progress on the way. */
function serverFor(context: McpRequestContext): McpServer {
  const headers = context.requestInfo?.headers;
  const server = new McpServer({ name: 'test', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Key of the caller' }, () => ({
    content: [
      {
        type: 'text',
        text: `key=${keyMark(headers?.get('x-api-key'))} authorization=${headers?.get('authorization') ?? 'none'}`,
      },
    ],
  }));
  server.registerTool('echo', { description: 'Echo', inputSchema: z.object({ text: z.string() }) }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  return server;
}
