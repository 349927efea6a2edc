/**
 * The demo's MCP server (official SDK, Streamable HTTP, both protocol eras). It holds no credential of its own: each request brings
 * the caller's notes API key in `Authorization`, put there by the sidecar. It listens on loopback, so that only the sidecar reaches it.
 * Usage: mcp-server.js [--strict] [notes URL [certificate file, key file, port]]; with a certificate it is a server for the world,
 * over HTTPS. Strict: a request with a key that the notes API does not know is answered 401, as servers with accounts of their own do.
 */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer, type McpRequestContext } from '@modelcontextprotocol/server';

const isStrict = process.argv.includes('--strict');
const [notesUrl = 'http://notes.mcp-demo.svc', certFile, keyFile, port] = process.argv
  .slice(2)
  .filter((argument) => argument !== '--strict');

async function askNotes(path: string, authorization: string | null): Promise<string> {
  const response = await fetch(`${notesUrl}${path}`, { headers: authorization === null ? {} : { authorization } });
  const body = await response.text();
  if (!response.ok) throw new Error(`the notes API answered ${response.status}: ${body}`);
  return body;
}

function serverFor(context: McpRequestContext): McpServer {
  const authorization = context.requestInfo?.headers.get('authorization') ?? null;
  const server = new McpServer({ name: 'notes', version: '1.0.0' });
  const tool = (name: string, description: string, path: string): void => {
    server.registerTool(name, { description }, async () => ({
      content: [{ type: 'text', text: await askNotes(path, authorization) }],
    }));
  };
  tool('whoami', 'Which notes account the call is made as', '/whoami');
  tool('list_notes', 'The notes of the calling user', '/notes');
  return server;
}

// The adapter types its request without `undefined` properties; at run time it is node:http's own.
const handleMcp = toNodeHandler(createMcpHandler(serverFor)) as RequestListener;

const handle: RequestListener = isStrict ? (request, response) => void handleKnown(request, response) : handleMcp;

async function handleKnown(...[request, response]: Parameters<RequestListener>): Promise<void> {
  const { authorization } = request.headers;
  const isKnown = authorization === undefined || (await fetch(`${notesUrl}/whoami`, { headers: { authorization } })).ok;
  if (isKnown) handleMcp(request, response);
  else response.writeHead(401, { 'www-authenticate': 'Bearer realm="notes"' }).end();
}

if (certFile === undefined || keyFile === undefined) {
  createServer(handle).listen(3000, '127.0.0.1', () => console.log('MCP server on 127.0.0.1:3000/mcp'));
} else {
  const identity = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  createSecureServer(identity, handle).listen(Number(port), () => console.log(`MCP server on https://*:${port}/mcp`));
}

process.on('SIGTERM', () => process.exit(0));
