/**
 * An MCP server whose tool `echo` tells every header of its request. The pod gets this text as an argument of Node.
 * It speaks plain JSON over HTTP at /mcp, and the transport of 2024-11-05 at /sse.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';

interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: { readonly name?: string; readonly protocolVersion?: string };
}

const streams = new Map<string, ServerResponse>();
const tools = ['echo', 'drop', 'whoami'].map((name) => ({ name, inputSchema: { type: 'object' } }));

function resultOf({ method, params }: Message, headers: IncomingHttpHeaders): object | undefined {
  if (method === 'initialize') {
    const serverInfo = { name: 'tool-server', version: '1.0.0' };
    return { protocolVersion: params?.protocolVersion, capabilities: { tools: {} }, serverInfo };
  }
  if (method === 'tools/list') return { tools };
  if (method !== 'tools/call') return undefined;
  const text = params?.name === 'echo' ? JSON.stringify(headers) : `called ${params?.name}`;
  return { content: [{ type: 'text', text }] };
}

function answerTo(message: Message, headers: IncomingHttpHeaders): string {
  const result = resultOf(message, headers);
  const error = { code: -32_601, message: 'unknown method' };
  return JSON.stringify({ jsonrpc: '2.0', id: message.id, ...(result === undefined ? { error } : { result }) });
}

function openStream(response: ServerResponse): void {
  const id = String(streams.size);
  streams.set(id, response);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`event: endpoint\ndata: /message?sessionId=${id}\n\n`);
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  if (request.method !== 'POST') {
    if (pathname === '/sse') openStream(response);
    else response.writeHead(405).end();
    return;
  }
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const message = JSON.parse(body) as Message;
  const answer = message.id === undefined ? undefined : answerTo(message, request.headers);
  if (pathname === '/message') {
    response.writeHead(202).end();
    if (answer !== undefined) streams.get(searchParams.get('sessionId') ?? '')?.write(`data: ${answer}\n\n`);
  } else if (answer === undefined) response.writeHead(202).end();
  else response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
}

createServer((request, response) => void handle(request, response)).listen(3000, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
