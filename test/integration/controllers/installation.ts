import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { ControlPlane } from '#test/support/control-plane.ts';

export const operatorNamespace = 'mcp-keyring';
/** Members may have keys at every server. */
export const usersGroup = 'staff';
export const keyNamespace = 'mcp-keyring-keys';
const rbac = 'rbac.authorization.k8s.io/v1';
export const sidecarImage = 'registry.example.com/mcp-proxy@sha256:1';

/** What the chart makes, as far as the operator needs it to start. */
export async function installPrerequisites(plane: ControlPlane): Promise<void> {
  await plane.installCrds();
  const namespace = (name: string, labels = {}): object => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  const inOperator = (kind: string, name: string, rest = {}): object => ({
    apiVersion: 'v1',
    kind,
    metadata: { name, namespace: operatorNamespace },
    ...rest,
  });
  const webhook = {
    name: 'inject.mcpkeyring.io',
    clientConfig: { service: { name: 'mcp-keyring-webhook', namespace: operatorNamespace, path: '/inject' } },
    rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], scope: 'Namespaced' }],
    objectSelector: { matchExpressions: [{ key: 'mcpkeyring.io/server', operator: 'Exists' }] },
    failurePolicy: 'Ignore',
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
    timeoutSeconds: 1,
  };
  await applyAll(plane, [
    namespace(operatorNamespace),
    namespace(keyNamespace),
    ...['kek', 'index', 'tls', 'intake'].map((part) => inOperator('Secret', `mcp-keyring-${part}`)),
    inOperator('ConfigMap', 'mcp-keyring-injection', { data: { sidecarImage } }),
    inOperator('ConfigMap', 'mcp-keyring-intake'),
    {
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: 'mcp-keyring-user' },
      rules: [{ apiGroups: ['mcpkeyring.io'], resources: ['mcpservers'], verbs: ['use'] }],
    },
    {
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'mcp-keyring-users' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'mcp-keyring-user' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: usersGroup }],
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'mcp-keyring-inject' },
      webhooks: [webhook],
    },
  ]);
}

export async function applyAll(plane: ControlPlane, objects: readonly object[]): Promise<void> {
  await plane.kubectl(
    ['apply', '--server-side', '-f', '-'],
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  );
}

export interface LogLine {
  readonly level?: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

/** The operator as a process of its own: exactly what the image runs. */
export class OperatorProcess implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #folder: string;
  /** Resolves the exit code, whatever ends the process. */
  readonly exited: Promise<number | null>;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.exited = once(child, 'exit').then(([code]) => code as number | null);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => this.lines.push(parseLine(line)));
    }
  }

  static async start(
    plane: ControlPlane,
    flags: readonly string[] = [],
    command: readonly string[] = ['operator/main.ts'],
  ): Promise<OperatorProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'mcp-keyring-operator-'));
    const ports = ['broker', 'webhook', 'health', 'metrics'].map((part) => `--${part}-port=0`);
    const child = spawn(
      process.execPath,
      [
        ...command,
        `--kubeconfig=${plane.kubeconfig}`,
        `--audit-dir=${folder}`,
        '--bind-address=127.0.0.1',
        ...ports,
        ...flags,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    return new OperatorProcess(child, folder);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The first line with that message; rejects when the process ends before. */
  async said(message: string, timeoutMs = 30_000): Promise<LogLine> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.find((line) => line.message === message);
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null) throw new Error(`ended with ${this.#child.exitCode}: ${this.#tail()}`);
      if (Date.now() > deadline) throw new Error(`did not say "${message}": ${this.#tail()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async get(path: '/livez' | '/readyz' | '/metrics'): Promise<{ readonly status: number; readonly text: string }> {
    const { healthPort, metricsPort } = await this.said('serving health and metrics');
    const port = path === '/metrics' ? metricsPort : healthPort;
    const response = await fetch(`http://127.0.0.1:${String(port)}${path}`);
    return { status: response.status, text: await response.text() };
  }

  /** Resolves the exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    this.#child.kill(signal);
    return await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) await this.stop('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  #tail(): string {
    return this.lines
      .slice(-15)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { message: line };
  }
}
