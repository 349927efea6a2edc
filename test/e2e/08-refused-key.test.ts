import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, clusterIpOf, kubectl, kubectlJson, tryRun } from './support/cluster.ts';
import { callTool, mcpkeys, namespace, postToolCall, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
const name = 'strict';

/** The demo's MCP server, which answers 401 to keys that it does not know. */
const strict = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'McpServer',
  metadata: { name, namespace },
  spec: {
    upstream: {
      managed: {
        image: 'localhost/mcp-keyring-demo:dev',
        args: ['/app/mcp-server.js', '--strict', 'http://notes.mcp-demo.svc'],
        port: 3000,
        path: '/mcp',
        replicas: 1,
      },
    },
    authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}' }] },
  },
};

interface UserKey {
  readonly spec: { readonly serverRef: { readonly name: string }; readonly subject: { readonly id: string } };
  readonly status?: { readonly state?: string; readonly version?: number; readonly rejected?: { version: number } };
}

async function statusOf(user: string): Promise<UserKey['status']> {
  const { items } = await kubectlJson<{ items: UserKey[] }>('-n', namespace, 'get', 'userkeys');
  return items.find(({ spec }) => spec.serverRef.name === name && spec.subject.id === user)?.status;
}

describe('a key that the server refuses', () => {
  beforeAll(async () => {
    await apply(strict);
    await kubectl('-n', namespace, 'wait', `mcpserver/${name}`, '--for=condition=Ready', '--timeout=90s');
  });

  afterAll(() => tryRun(['kubectl', '-n', namespace, 'delete', 'mcpserver', name, '--ignore-not-found']));

  test(verifies('keys:refused'), async () => {
    const [alice, bob] = [await tokenOf('alice'), await tokenOf('bob')];
    await setKey(alice, 'revoked-long-ago-4711', name);
    await setKey(bob, keys.bob, name);
    await waitUntil('the key of bob', 5000, async () =>
      (await callTool(bob, 'whoami', name)).text.includes('bob@notes'),
    );
    // A real client connects all the same, and is told in words.
    const told = await callTool(alice, 'whoami', name);
    expect(told.isError).toBe(true);
    expect(told.text).toContain('was rejected');
    const address = await clusterIpOf(namespace, `${name}-mcp`);
    const raw = await postToolCall({ address, token: alice, id: 'refused' });
    expect([raw.status, raw.challenge]).toEqual([200, null]);

    await waitUntil('the mark', 20_000, async () => (await statusOf('alice'))?.state === 'Invalid');
    const { version, rejected } = (await statusOf('alice'))!;
    expect(rejected!.version).toBe(version);
    expect((await statusOf('bob'))?.state).toBe('Configured');
    expect((await mcpkeys(alice, ['status', name])).stdout).toContain('🔴 Invalid');
    await waitUntil('the count', 5000, async () => {
      const invalid = await kubectl('-n', namespace, 'get', 'mcpserver', name, '-o', 'jsonpath={.status.keys.invalid}');
      return invalid === '1';
    });

    await setKey(alice, keys.alice, name);
    await waitUntil('the next key', 2000, async () => (await callTool(alice, 'whoami', name)).text.includes('alice@'));
    await waitUntil('the state', 5000, async () => (await statusOf('alice'))?.state === 'Configured');
  });
});
