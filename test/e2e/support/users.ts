import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { login } from '#test/demo/login.ts';
import { issuer } from '#test/demo/install.ts';
import { clusterIpOf, kubectl, tryRun, type Outcome } from './cluster.ts';

export const namespace = 'mcp-demo';
export const server = 'notes';

/** Access token of one account of the demo's identity provider. */
export async function tokenOf(account: string, resource?: string): Promise<string> {
  const [address, ca] = await Promise.all([
    clusterIpOf(namespace, 'idp'),
    kubectl('-n', namespace, 'get', 'configmap', 'idp-ca', '-o', 'jsonpath={.data.ca\\.crt}'),
  ]);
  return login({ issuer, ca, account, address, ...(resource === undefined ? {} : { resource }) });
}

/** `kubectl mcpkeys …` as the user of `token`; the token goes through a file that only root reads. */
export async function mcpkeys(token: string, args: readonly string[], input = ''): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'mcpkeys-'));
  try {
    const file = join(folder, 'token');
    writeFileSync(file, token, { mode: 0o600 });
    return await tryRun(['kubectl', 'mcpkeys', ...args, '-n', namespace, '--token-file', file], input);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function setKey(token: string, key: string, name = server): Promise<void> {
  const outcome = await mcpkeys(token, ['set', name], key);
  if (outcome.status !== 0) throw new Error(`mcpkeys set failed: ${outcome.stderr}`);
}

export interface ToolAnswer {
  readonly isError: boolean;
  readonly text: string;
}

/** Calls one tool with the official client and a connection of its own. */
export async function callTool(token: string, tool = 'whoami', name = server): Promise<ToolAnswer> {
  const address = await clusterIpOf(namespace, `${name}-mcp`);
  const client = new Client({ name: 'e2e', version: '1.0.0' });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://${address}/mcp`), { requestInit }));
  try {
    const result = await client.callTool({ name: tool, arguments: {} });
    const text = result.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    return { isError: result.isError === true, text };
  } finally {
    await client.close();
  }
}

/** One raw tools/call: HTTP status and body, without a client in between. `id` becomes the JSON-RPC id. */
export async function postToolCall(options: {
  readonly address: string;
  readonly token?: string;
  readonly id: string;
  readonly tool?: string;
}): Promise<{ readonly status: number; readonly body: string; readonly challenge: string | null }> {
  const response = await fetch(`http://${options.address}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: options.id,
      method: 'tools/call',
      params: { name: options.tool ?? 'whoami', arguments: {} },
    }),
  });
  return { status: response.status, body: await response.text(), challenge: response.headers.get('www-authenticate') };
}
