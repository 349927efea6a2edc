import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { issuer } from '#test/demo/install.ts';
import { verifies } from '#test/requirements.ts';
import { clusterIpOf, kubectl, kubectlJson } from './support/cluster.ts';
import { installRemoteServer, remoteServer as name, removeRemoteServer } from './support/remote.ts';
import { namespace, setKey, tokenOf, type ToolAnswer } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');

async function urlAtGateway(server: string): Promise<string> {
  return `http://${await clusterIpOf('mcp-keyring', 'mcp-keyring-gateway')}/${namespace}/${server}/mcp`;
}

async function callThroughGateway(token: string, server: string): Promise<ToolAnswer> {
  const client = new Client({ name: 'e2e', version: '1.0.0' });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(await urlAtGateway(server)), { requestInit }));
  try {
    const result = await client.callTool({ name: 'whoami', arguments: {} });
    const text = result.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    return { isError: result.isError === true, text };
  } finally {
    await client.close();
  }
}

describe('the gateway', () => {
  beforeAll(async () => {
    // Its namespace may still be on its way out, from the tests before.
    await waitUntil('a remote server', 90_000, async () => {
      await installRemoteServer();
      return true;
    });
    await kubectl('-n', namespace, 'wait', `mcpserver/${name}`, '--for=condition=Ready', '--timeout=60s');
  });

  afterAll(removeRemoteServer);

  test(verifies('gateway:serves'), async () => {
    const [alice, bob] = await Promise.all([tokenOf('alice'), tokenOf('bob')]);
    await setKey(alice, keys.alice, name);
    await setKey(bob, keys.bob, name);
    await setKey(alice, keys.alice);
    await waitUntil('the key of alice at the remote server', 5_000, async () =>
      (await callThroughGateway(alice, name)).text.includes('alice@notes'),
    );
    expect((await callThroughGateway(bob, name)).text).toContain('bob@notes');
    expect((await callThroughGateway(alice, 'notes')).text).toContain('alice@notes');
    const { status } = await kubectlJson<{ status: { url: string } }>('-n', namespace, 'get', 'mcpserver', name);
    expect(status.url).toBe(`http://mcp-keyring-gateway.mcp-keyring.svc/${namespace}/${name}/mcp`);
  });

  test('sends whoever it does not know to the identity provider of the organization', async () => {
    for (const server of [name, 'notes']) {
      const url = await urlAtGateway(server);
      const response = await fetch(url, { headers: { accept: 'text/event-stream' } });
      expect(response.status).toBe(401);
      const metadata = /resource_metadata="([^"]+)"/.exec(response.headers.get('www-authenticate') ?? '')?.[1];
      const document = await (await fetch(metadata ?? '')).json();
      expect(document).toMatchObject({ resource: url, authorization_servers: [issuer] });
    }
    expect((await fetch(await urlAtGateway('nothing'))).status).toBe(404);
  });

  test('sends no key to an address in the cluster that the server does not allow', async () => {
    const patch = JSON.stringify({ spec: { upstream: { remote: { allowPrivateAddresses: false } } } });
    await kubectl('-n', namespace, 'patch', 'mcpserver', name, '--type=merge', '-p', patch);
    const alice = await tokenOf('alice');
    await waitUntil('the refusal', 10_000, async () => {
      const response = await fetch(await urlAtGateway(name), {
        method: 'POST',
        headers: {
          authorization: `Bearer ${alice}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'whoami', arguments: {} },
        }),
      });
      const text = await response.text();
      return text.includes('"code":1502') && text.includes('address');
    });
  });
});
