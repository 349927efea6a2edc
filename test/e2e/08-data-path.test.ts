/** What the injected sidecar does between a client and a server, in a real pod: the old transport, tools by policy, keys sent back. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, clusterIpOf, kubectl, tryRun } from './support/cluster.ts';
import { namespace, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
const source = readFileSync(join(import.meta.dirname, 'support/tool-server.ts'), 'utf8');
const program = Buffer.from(stripTypeScriptTypes(source)).toString('base64');
/** An argument of a managed server has at most 1024 characters. */
const loader = `import('data:text/javascript;base64,' + process.argv.slice(1).join(''))`;
const programArguments = ['-e', loader, ...(program.match(/.{1,1000}/gu) ?? [])];
const policyName = 'data-path-tools';

const ways = {
  'echo-old': { transport: 'SSE', path: '/sse' },
  'echo-new': { transport: 'StreamableHTTP', path: '/mcp' },
};
type Name = keyof typeof ways;
const names = Object.keys(ways) as Name[];

function echoServer(name: Name): object {
  const { transport, path } = ways[name];
  const managed = { image: 'localhost/mcp-keyring-demo:dev', args: programArguments, port: 3000, path, replicas: 1 };
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'McpServer',
    metadata: { name, namespace },
    spec: {
      transport,
      upstream: { managed },
      authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}' }] },
    },
  };
}

function policyWith(tools: { readonly allow?: readonly string[]; readonly deny?: readonly string[] }): object {
  return {
    apiVersion: 'mcpkeyring.io/v1alpha1',
    kind: 'UserKeyPolicy',
    metadata: { name: policyName, namespace },
    spec: { servers: { names: ['echo-new'] }, tools },
  };
}

async function connect(name: Name, token: string): Promise<Client & AsyncDisposable> {
  const url = new URL(`http://${await clusterIpOf(namespace, `${name}-mcp`)}${ways[name].path}`);
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  const client = new Client({ name: 'e2e', version: '1.0.0' });
  const isOld = ways[name].transport === 'SSE';
  const Transport = isOld ? SSEClientTransport : StreamableHTTPClientTransport;
  await client.connect(new Transport(url, { requestInit }));
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}

const call = async (client: Client, tool: string): Promise<string> =>
  JSON.stringify(await client.callTool({ name: tool, arguments: {} }));

async function podsOf(name: Name): Promise<string> {
  return kubectl('-n', namespace, 'get', 'pods', '-o', 'name').then((list) =>
    list
      .split('\n')
      .filter((pod) => pod.includes(name))
      .join(),
  );
}

/** How often a key was sent back, as the events say: of the call, or of the stream where answers come on one that outlives calls. */
async function echoesOnRecord(name: Name): Promise<readonly number[]> {
  const mark = ways[name].transport === 'SSE' ? '"phase":"close"' : '"tool":"echo"';
  const logs = await kubectl('-n', 'mcp-keyring', 'logs', '-l', 'app.kubernetes.io/component=operator', '--tail=-1');
  return logs
    .split('\n')
    .filter((line) => line.startsWith('{"audit":') && line.includes(`"${name}"`) && line.includes(mark))
    .flatMap((line) => (JSON.parse(line) as { audit: { echoes?: number } }).audit.echoes ?? []);
}

describe('a server in the cluster', () => {
  let alice = '';

  beforeAll(async () => {
    alice = await tokenOf('alice');
    await apply(...names.map(echoServer));
    for (const name of names) {
      await kubectl('-n', namespace, 'wait', `mcpserver/${name}`, '--for=condition=Ready', '--timeout=90s');
      await setKey(alice, keys.alice, name);
    }
  });

  afterAll(() =>
    tryRun(['kubectl', '-n', namespace, 'delete', 'mcpserver', ...names, '--ignore-not-found']).then(() =>
      tryRun(['kubectl', '-n', namespace, 'delete', 'userkeypolicy', policyName, '--ignore-not-found']),
    ),
  );

  test.each(names)('%s is used by a real client, and does not show it the key that it sends back', async (name) => {
    await using client = await connect(name, alice);
    expect(await call(client, 'whoami')).toContain('called whoami');
    // Until the key is there, the answer says how to set it.
    const echoed = await waitUntil('the key', 5000, async () => {
      const text = await call(client, 'echo');
      return text.includes('authorization') && text;
    });
    expect(echoed).toContain('Bearer ');
    expect(echoed).not.toContain(keys.alice);
    expect(echoed).not.toContain(alice);
    await client.close();
    await waitUntil('the audit event', 10_000, async () => (await echoesOnRecord(name)).some((echoes) => echoes > 0));
  });

  test(verifies('tools:at-once'), async () => {
    const pods = await podsOf('echo-new');
    await using client = await connect('echo-new', alice);
    const listed = async (): Promise<string[]> => (await client.listTools()).tools.map(({ name }) => name);
    expect(await listed()).toEqual(['echo', 'drop', 'whoami']);
    await apply(policyWith({ deny: ['drop'] }));
    await waitUntil('the policy', 2000, async () => !(await listed()).includes('drop'));
    expect(await listed()).toEqual(['echo', 'whoami']);
    await expect(client.callTool({ name: 'drop', arguments: {} })).rejects.toMatchObject({ code: 1010 });
    await apply(policyWith({ allow: ['dr*'] }));
    await waitUntil('the changed policy', 2000, async () => (await listed()).join() === 'drop');
    expect(await call(client, 'drop')).toContain('called drop');
    await expect(client.callTool({ name: 'echo', arguments: {} })).rejects.toMatchObject({ code: 1010 });
    expect(await podsOf('echo-new')).toBe(pods);
  });
});
