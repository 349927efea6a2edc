import { afterAll, describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, kubectl, kubectlJson, tryRun } from './support/cluster.ts';
import { callTool, namespace, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');

const managed = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'McpServer',
  metadata: { name: 'managed', namespace },
  spec: {
    upstream: {
      managed: {
        image: 'localhost/mcp-keyring-demo:dev',
        args: ['/app/mcp-server.js', 'http://notes.mcp-demo.svc'],
        port: 3000,
        path: '/mcp',
        replicas: 1,
      },
    },
    authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}' }] },
  },
};

describe('managed servers', () => {
  afterAll(() => tryRun(['kubectl', '-n', namespace, 'delete', 'mcpserver', 'managed', '--ignore-not-found']));

  test(verifies('managed:runs'), async () => {
    await apply(managed);
    await kubectl('-n', namespace, 'wait', 'mcpserver/managed', '--for=condition=Ready', '--timeout=90s');
    const token = await tokenOf('alice');
    await setKey(token, keys.alice, 'managed');
    await waitUntil('an answer through the sidecar', 5000, async () =>
      (await callTool(token, 'whoami', 'managed')).text.includes('alice@notes'),
    );
    const { status } = await kubectlJson<{ status: { url: string; keys: { configured: number } } }>(
      '-n',
      namespace,
      'get',
      'mcpserver',
      'managed',
    );
    expect(status.url).toBe(`http://managed-mcp.${namespace}.svc/mcp`);
    await waitUntil('the key count', 5000, async () => {
      const now = await kubectlJson<{ status: { keys: { configured: number } } }>(
        '-n',
        namespace,
        'get',
        'mcpserver',
        'managed',
      );
      return now.status.keys.configured === 1;
    });
  });

  test('deleting the McpServer takes its Deployment, Service and NetworkPolicy along', async () => {
    await kubectl('-n', namespace, 'delete', 'mcpserver', 'managed');
    await waitUntil('the end of its objects', 30_000, async () => {
      const { items } = await kubectlJson<{ items: unknown[] }>(
        '-n',
        namespace,
        'get',
        'deployments,services,networkpolicies',
        '-l',
        'mcpkeyring.io/server=managed',
      );
      return items.length === 0;
    });
  });
});
