import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { parse } from 'yaml';

import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { testSettings } from '#test/unit/admission/pods.ts';
import { renderText, repository } from './helm.ts';
import { type Answer, type Call, RawApi } from './raw-api.ts';

export const operatorUser = 'system:serviceaccount:mcp-keyring:mcp-keyring-operator';
const settleTimeoutMs = 20_000;
const settlePollMs = 100;

/** An API server with the chart on it, but no operator: the webhook does not answer. */
export interface GuardedCluster extends AsyncDisposable {
  readonly plane: ControlPlane;
  call(call: Call): Promise<Answer>;
  /** A pod in namespace team-a, not kept. */
  createPod(pod: object, namespace?: string): Promise<Answer>;
}

export async function startGuardedCluster(): Promise<GuardedCluster> {
  const plane = await startControlPlane();
  const api = new RawApi(plane.source);
  const cluster: GuardedCluster = {
    plane,
    call: (call) => api.call(call),
    createPod: (pod, namespace = 'team-a') =>
      api.call({ method: 'POST', path: `/api/v1/namespaces/${namespace}/pods`, body: withAccount(pod), dryRun: true }),
    [Symbol.asyncDispose]: () => plane[Symbol.asyncDispose](),
  };
  await plane.installCrds();
  for (const namespace of ['mcp-keyring', 'team-a']) await plane.kubectl(['create', 'namespace', namespace]);
  const [registry = '', repositoryName = '', digest = ''] = testSettings.sidecarImage.split(/[/@]/u);
  const image = `sidecar.image.registry=${registry},sidecar.image.repository=${repositoryName},sidecar.image.digest=${digest}`;
  await plane.kubectl(['apply', '--server-side', '-f', '-'], await renderText(['--set', image]));
  return cluster;
}

/** The admission plugin that names the account does not run without a controller manager. */
export function withAccount(pod: object): object {
  const spec = 'spec' in pod ? (pod.spec as object) : {};
  return { ...pod, spec: { serviceAccountName: 'default', ...spec } };
}

/** Without the webhook admission answers at once; policies see what the test sends. */
export async function removeWebhook(cluster: GuardedCluster): Promise<void> {
  await cluster.plane.kubectl(['delete', 'mutatingwebhookconfiguration', 'mcp-keyring-inject']);
}

/** Policies are in force some moments after they were written. */
export async function waitUntilRefused(ask: () => Promise<Answer>): Promise<Answer> {
  const deadline = Date.now() + settleTimeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer.status === 403 || answer.status === 422) return answer;
    if (Date.now() > deadline) throw new Error(`still ${answer.status}: ${answer.message}`);
    await new Promise((resolve) => setTimeout(resolve, settlePollMs));
  }
}

export interface InjectedPod {
  readonly name: string;
  readonly pod: Record<string, unknown>;
}

/** Every pod of the injector's golden corpus that it injects with the default settings. */
export function injectedPods(): readonly InjectedPod[] {
  const folder = join(repository, 'test/golden/inject');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.out.yaml'))
    .map((file) => ({
      name: file.replace('.out.yaml', ''),
      golden: parse(readFileSync(join(folder, file), 'utf8')) as Golden,
    }))
    .filter(({ golden }) => golden.result === 'injected' && golden.pod !== undefined)
    .map(({ name, golden }) => ({ name, pod: golden.pod ?? {} }));
}

interface Golden {
  readonly result: string;
  readonly pod?: Record<string, unknown>;
}
