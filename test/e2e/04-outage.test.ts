import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { clusterIpOf, kubectl, kubectlJson, run, tryRun } from './support/cluster.ts';
import { callTool, namespace, postToolCall, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
const operatorSelector = 'app.kubernetes.io/component=operator';

async function operatorReady(): Promise<void> {
  await kubectl('-n', 'mcp-keyring', 'rollout', 'status', 'deploy/mcp-keyring-operator', '--timeout=120s');
}

async function sidecarAddress(): Promise<string> {
  const address = await kubectl(
    '-n',
    namespace,
    'get',
    'pods',
    '-l',
    'mcpkeyring.io/server=notes',
    '-o',
    'jsonpath={.items[0].status.podIP}',
  );
  return address.trim();
}

/** Drops or allows the packets of one pod to every broker port (the pod network is routed through this namespace). */
async function cutBroker(podAddress: string, action: '-I' | '-D'): Promise<void> {
  await run(['iptables', action, 'FORWARD', '-s', podAddress, '-p', 'tcp', '--dport', '8443', '-j', 'DROP']);
}

describe('outages', () => {
  afterAll(async () => {
    await cutBroker(await sidecarAddress(), '-D').catch(() => undefined);
    await operatorReady();
  });

  test(verifies('operator:killed-under-load'), async () => {
    await operatorReady();
    const token = await tokenOf('alice');
    await setKey(token, keys.alice);
    await waitUntil('a warm lease', 5000, async () => (await callTool(token)).text.includes('alice@notes'));
    const address = await clusterIpOf(namespace, 'notes-mcp');
    const failures: string[] = [];
    let sent = 0;
    const endAt = performance.now() + 9000;
    const kill = delay(2000).then(() =>
      kubectl(
        '-n',
        'mcp-keyring',
        'delete',
        'pods',
        '-l',
        operatorSelector,
        '--grace-period=0',
        '--force',
        '--wait=false',
      ),
    );
    const client = async (): Promise<void> => {
      while (performance.now() < endAt) {
        const { status, body } = await postToolCall({ address, token, id: `load-${sent++}` });
        if (status !== 200 || !body.includes('alice@notes')) failures.push(`${status} ${body}`);
      }
    };
    await Promise.all(Array.from({ length: 8 }, client));
    await kill;
    expect(sent).toBeGreaterThan(500);
    expect(failures).toEqual([]);
    await operatorReady();
  });

  test(verifies('keys:deleted-cut-off'), async () => {
    const token = await tokenOf('alice');
    await waitUntil('a warm lease', 15_000, async () => (await callTool(token)).text.includes('alice@notes'));
    const [pod, address] = await Promise.all([sidecarAddress(), clusterIpOf(namespace, 'notes-mcp')]);
    const userKeys = await kubectlJson<{ items: { metadata: { name: string }; spec: { subject: { id: string } } }[] }>(
      '-n',
      namespace,
      'get',
      'userkeys',
    );
    const name = userKeys.items.find((item) => item.spec.subject.id === 'alice')?.metadata.name;
    await cutBroker(pod, '-I');
    const cutAt = performance.now();
    try {
      await kubectl('-n', namespace, 'delete', 'userkey', name ?? '', '--wait=false');
      await waitUntil('the end of the leases', 12_000, async () => {
        const { body } = await postToolCall({ address, token, id: 'cut' });
        return !body.includes('alice@notes');
      });
      expect(performance.now() - cutAt).toBeLessThan(10_500);
    } finally {
      await cutBroker(pod, '-D');
    }
    await waitUntil('a missing key, said as such, when the broker is back', 20_000, async () =>
      (await callTool(token)).text.includes('kubectl mcpkeys set'),
    );
    await setKey(token, keys.alice);
    await waitUntil('the key again', 3000, async () => (await callTool(token)).text.includes('alice@notes'));
  });

  test('an API server restart ends no watch for good: a key set afterwards works', async () => {
    const token = await tokenOf('bob');
    await run(['test/lab/lab', 'restart', 'apiserver']);
    await waitUntil(
      'the API server',
      60_000,
      async () => (await tryRun(['kubectl', 'get', '--raw', '/readyz'])).status === 0,
    );
    await setKey(token, keys.alice);
    await waitUntil('the new key', 10_000, async () => (await callTool(token)).text.includes('alice@notes'));
    await setKey(token, keys.bob);
    await waitUntil('the old key', 10_000, async () => (await callTool(token)).text.includes('bob@notes'));
  });
});
