/**
 * What the demo runs in its client pod. Usage:
 *   client.js wait                                     stays, so that there is a pod to exec into
 *   client.js login <issuer> <CA file> <account>       prints an access token
 *   client.js call <MCP URL> [tool...]                 token on standard input; calls the tools, prints one JSON line each
 */
import { readFileSync } from 'node:fs';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { login } from '../login.ts';

async function call(url: string, tools: readonly string[], token: string): Promise<void> {
  const client = new Client({ name: 'demo-client', version: '1.0.0' });
  const headers = token === '' ? {} : { authorization: `Bearer ${token}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  for (const tool of tools) {
    const result = await client.callTool({ name: tool, arguments: {} });
    const text = result.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    console.log(JSON.stringify({ tool, isError: result.isError === true, text }));
  }
  await client.close();
}

const [command = 'help', ...args] = process.argv.slice(2);
switch (command) {
  case 'wait':
    setInterval(() => undefined, 3_600_000);
    process.on('SIGTERM', () => process.exit(0));
    break;
  case 'login': {
    const [issuer = '', caFile = '', account = ''] = args;
    console.log(await login({ issuer, ca: readFileSync(caFile, 'utf8'), account }));
    break;
  }
  case 'call': {
    const [url = '', ...tools] = args;
    await call(url, tools, readFileSync(0, 'utf8').trim());
    break;
  }
  default:
    console.error('usage: client.js wait | login <issuer> <CA file> <account> | call <MCP URL> [tool...]');
    process.exitCode = 2;
}
