import { afterAll, describe, expect, test } from 'vitest';
import { verifies } from '#test/requirements.ts';
import { apply, kubectl, kubectlJson, refused, tryRun } from './support/cluster.ts';
import { namespace } from './support/users.ts';
import { waitUntil } from './support/wait.ts';

const image = 'localhost/mcp-keyring-demo:dev';

function pod(name: string, options: { readonly labelled: boolean; readonly args?: readonly string[] }): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: options.labelled ? { 'mcpkeyring.io/server': 'notes-batch' } : { app: name } },
    spec: podSpec(options.args ?? ['/app/client.js', 'wait']),
  };
}

function podSpec(args: readonly string[]): object {
  return {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', image, imagePullPolicy: 'IfNotPresent', args }],
  };
}

const server = {
  apiVersion: 'mcpkeyring.io/v1alpha1',
  kind: 'McpServer',
  metadata: { name: 'notes-batch', namespace },
  spec: {
    upstream: { workload: { port: 3000 } },
    authentication: { headers: [{ name: 'Authorization', template: 'Bearer {value}' }] },
  },
};

async function scaleOperator(replicas: number): Promise<void> {
  await kubectl('-n', 'mcp-keyring', 'scale', 'deploy/mcp-keyring-operator', `--replicas=${replicas}`);
  if (replicas > 0) {
    await kubectl('-n', 'mcp-keyring', 'rollout', 'status', 'deploy/mcp-keyring-operator', '--timeout=120s');
    return;
  }
  await waitUntil('the end of the operator pods', 60_000, async () => {
    const { items } = await kubectlJson<{ items: unknown[] }>(
      '-n',
      'mcp-keyring',
      'get',
      'pods',
      '-l',
      'app.kubernetes.io/component=operator',
    );
    return items.length === 0;
  });
}

async function phaseOf(name: string): Promise<string> {
  return kubectl('-n', namespace, 'get', 'pod', name, '-o', 'jsonpath={.status.phase}');
}

describe('admission', () => {
  afterAll(async () => {
    await scaleOperator(2);
    await kubectl(
      '-n',
      namespace,
      'delete',
      'pod',
      'bystander',
      'exec-target',
      '--ignore-not-found',
      '--grace-period=1',
    );
  });

  test(verifies('admission:jobs-complete'), async () => {
    await apply(server);
    await apply({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'one-shot', namespace },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { labels: { 'mcpkeyring.io/server': 'notes-batch' } },
          spec: { ...podSpec(['-e', 'console.log("done")']), restartPolicy: 'Never' },
        },
      },
    });
    await kubectl('-n', namespace, 'wait', 'job/one-shot', '--for=condition=Complete', '--timeout=60s');
    const { items } = await kubectlJson<{ items: { spec: { initContainers: { name: string }[] } }[] }>(
      '-n',
      namespace,
      'get',
      'pods',
      '-l',
      'job-name=one-shot',
    );
    expect(items[0]?.spec.initContainers.map((container) => container.name)).toContain('mcp-proxy');
  });

  test(verifies('admission:no-exec'), async () => {
    await apply(pod('exec-target', { labelled: true }));
    await kubectl('-n', namespace, 'wait', 'pod/exec-target', '--for=condition=Ready', '--timeout=60s');
    const attempts = [
      ['exec', 'exec-target', '-c', 'mcp-proxy', '--', '/bin/true'],
      ['attach', 'exec-target', '-c', 'mcp-proxy'],
      ['debug', 'exec-target', '--image', image, '--target', 'mcp-proxy', '--quiet', '--', '-e', '0'],
    ];
    for (const attempt of attempts) {
      const outcome = await tryRun(['timeout', '20', 'kubectl', '-n', namespace, ...attempt]);
      expect(outcome.status, attempt[0]).not.toBe(0);
      expect(outcome.stderr, attempt[0]).toMatch(/mcp-keyring-sidecar-(?:access|debugging)/u);
    }
    const own = await tryRun([
      'kubectl',
      '-n',
      namespace,
      'exec',
      'exec-target',
      '-c',
      'main',
      '--',
      '/usr/local/bin/node',
      '-p',
      '6*7',
    ]);
    expect(own.stdout.trim()).toBe('42');
  });

  test('the sidecar holds no API server token and the app no broker token', async () => {
    const spec = await kubectlJson<{
      spec: { initContainers: Container[]; containers: Container[]; volumes: { name: string }[] };
    }>('-n', namespace, 'get', 'pod', 'exec-target');
    interface Container {
      readonly name: string;
      readonly volumeMounts: { readonly name: string; readonly mountPath: string }[];
    }
    const sidecar = spec.spec.initContainers.find((container) => container.name === 'mcp-proxy');
    const apiToken = sidecar?.volumeMounts.find(
      (mount) => mount.mountPath === '/var/run/secrets/kubernetes.io/serviceaccount',
    );
    expect(apiToken?.name).toBe('mcp-keyring-no-api-token');
    expect(
      spec.spec.containers.flatMap((container) => (container.volumeMounts ?? []).map((mount) => mount.name)),
    ).not.toContain('mcp-keyring-identity');
  });

  test('a pod of an unknown server is refused with the name', async () => {
    const message = await refused({
      ...pod('lost', { labelled: true }),
      metadata: { name: 'lost', namespace, labels: { 'mcpkeyring.io/server': 'no-such-server' } },
    });
    expect(message).toContain('no-such-server');
  });

  test(verifies('admission:operator-down'), async () => {
    await scaleOperator(0);
    const message = await refused(pod('refused', { labelled: true }));
    expect(message).toMatch(/not injected/u);
    expect(message).toMatch(/webhook/u);
    expect(message).toContain('mcp-keyring');
  });

  test(verifies('admission:others-untouched'), async () => {
    await apply(pod('bystander', { labelled: false }));
    await waitUntil('the bystander pod', 30_000, async () => (await phaseOf('bystander')) === 'Running');
    await scaleOperator(2);
    await apply(pod('after', { labelled: true }));
    await kubectl('-n', namespace, 'wait', 'pod/after', '--for=condition=Ready', '--timeout=60s');
    await kubectl('-n', namespace, 'delete', 'pod', 'after', '--grace-period=1');
  });

  test(verifies('unsupported:refused'), async () => {
    const unrecorded = {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'Organization',
      metadata: { name: 'unrecorded' },
      spec: {
        plan: 'Enterprise',
        audit: { required: false },
        namespaceSelector: { matchLabels: { a: 'b' } },
        identity: { issuers: [{ name: 'k', type: 'Kubernetes', audiences: ['x'] }] },
      },
    };
    expect(await refused(unrecorded)).toMatch(/audit\.required false is not supported yet/u);
    const [header] = server.spec.authentication.headers;
    const revealing = {
      ...server,
      metadata: { name: 'revealing', namespace },
      spec: { ...server.spec, authentication: { headers: [{ ...header, reveal: 'Last4' }] } },
    };
    expect(await refused(revealing)).toMatch(/reveal Last4 is not supported yet/u);
    const approval = {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'UserKeyPolicy',
      metadata: { name: 'approval', namespace },
      spec: { servers: { names: ['notes'] }, approval: { required: true } },
    };
    expect(await refused(approval)).toMatch(/approval is not supported yet/u);
  });
});
