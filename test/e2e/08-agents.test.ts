import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, kubectl, kubectlJson, run, tryRun, type Outcome } from './support/cluster.ts';
import { installRemoteServer, remoteServer, removeRemoteServer } from './support/remote.ts';
import { namespace, server, setKey, tokenOf } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const keys = inject('demoKeys');
/** A namespace of the organization without any server: the CA comes there for the sake of agents. */
const agents = 'mcp-agents';
const pod = 'assistant';
const node = '/usr/local/bin/node';

const agent = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: pod,
    namespace: agents,
    labels: { 'mcpkeyring.io/agent': 'true' },
    annotations: { 'mcpkeyring.io/agent-servers': `${namespace}/${remoteServer},${namespace}/${server}` },
  },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'agent',
        image: 'localhost/mcp-keyring-demo:dev',
        imagePullPolicy: 'IfNotPresent',
        args: ['/app/client.js', 'wait'],
      },
    ],
  },
};

/** Calls a tool from inside the agent's container, by the URL in its environment. */
async function callFromAgent(token: string, variable: string, tool = 'whoami'): Promise<Outcome> {
  const script = [
    'const { spawnSync } = require("node:child_process");',
    `const done = spawnSync("${node}", ["/app/client.js", "call", process.env.${variable}, "${tool}"], { stdio: "inherit" });`,
    'process.exitCode = done.status;',
  ].join('');
  return tryRun(['kubectl', '-n', agents, 'exec', '-i', pod, '-c', 'agent', '--', node, '-e', script], token);
}

describe('an agent', () => {
  beforeAll(async () => {
    await installRemoteServer();
    const metadata = { name: agents, labels: { 'mcpkeyring.io/organization': 'default' } };
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata });
    await waitUntil('the agent to be admitted', 30_000, async () => {
      await apply(agent);
      return true;
    });
    await kubectl('-n', agents, 'wait', `pod/${pod}`, '--for=condition=Ready', '--timeout=90s');
    for (const user of ['alice', 'bob'] as const) {
      for (const name of [remoteServer, server]) await setKey(await tokenOf(user), keys[user], name);
    }
  });

  afterAll(async () => {
    await tryRun(['kubectl', 'delete', 'namespace', agents, '--wait=false']);
    await removeRemoteServer();
  });

  test(verifies('agents:own-user'), async () => {
    for (const user of ['alice', 'bob'] as const) {
      const token = await tokenOf(user);
      for (const variable of ['MCP_SERVER_REMOTE_NOTES_URL', 'MCP_SERVER_NOTES_URL']) {
        const answer = await waitUntil(`an answer to ${user}`, 15_000, async () => {
          const outcome = await callFromAgent(token, variable);
          return outcome.status === 0 ? outcome : undefined;
        });
        expect(answer.stdout).toContain(`${user}@notes`);
      }
    }
    const events = await waitUntil('the events of the agent', 15_000, async () => {
      const found = (await auditEvents()).filter(({ reportedBy }) => reportedBy?.namespace === agents);
      return found.some(({ tool }) => tool === 'whoami') ? found : undefined;
    });
    expect(events.map(({ server: of }) => of?.name)).toContain(remoteServer);
  });

  test(verifies('agents:no-credential'), async () => {
    const outcome = await callFromAgent('', 'MCP_SERVER_REMOTE_NOTES_URL');
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/401|Unauthorized/u);
  });

  test('is not reached from another pod, and its sidecar has neither shell nor API token', async () => {
    const { status } = await kubectlJson<{ status: { podIP: string } }>('-n', agents, 'get', 'pod', pod);
    const url = `http://${status.podIP}:15080/${namespace}/${remoteServer}/mcp`;
    const answer = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    expect(answer).toBeUndefined();
    const entered = await tryRun([
      'kubectl',
      '-n',
      agents,
      'exec',
      pod,
      '-c',
      'mcp-proxy',
      '--',
      '/mcp-proxy',
      '--help',
    ]);
    expect(entered.stderr).toContain('nobody may enter the sidecar');
  });

  test(verifies('agents:policies'), async () => {
    const more = 'mcpkeyring.io/injected-servers=mcp-demo/remote-notes,mcp-demo/notes,mcp-demo/other';
    const annotated = await tryRun(['kubectl', '-n', agents, 'annotate', 'pod', pod, more, '--overwrite']);
    expect(annotated.stderr).toContain('never changes');
    const unlabelled = await tryRun(['kubectl', '-n', agents, 'label', 'pod', pod, 'mcpkeyring.io/agent-']);
    expect(unlabelled.stderr).toContain('never changes');
  });
});

interface AuditRecord {
  readonly type: string;
  readonly tool?: string;
  readonly server?: { readonly name: string };
  readonly reportedBy?: { readonly namespace?: string };
}

async function auditEvents(): Promise<readonly AuditRecord[]> {
  const selector = 'app.kubernetes.io/component=operator';
  const logs = await run(['kubectl', '-n', 'mcp-keyring', 'logs', '-l', selector, '--tail=-1', '--prefix=false']);
  return logs
    .split('\n')
    .filter((line) => line.startsWith('{"audit":'))
    .map((line) => (JSON.parse(line) as { audit: AuditRecord }).audit);
}
