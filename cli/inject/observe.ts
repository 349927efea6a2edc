import { labels, sidecarContainerName } from '#crds/v1alpha1/names.ts';
import { CliError } from '../errors.ts';
import type { Kubectl } from '../kubectl.ts';
import type { InjectionObserved } from './explain.ts';

interface PodTemplate {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly initContainers?: readonly { readonly name: string }[] };
}

interface Workload {
  readonly kind: string;
  readonly metadata: NonNullable<PodTemplate['metadata']>;
  readonly spec: {
    readonly template?: PodTemplate;
    readonly jobTemplate?: { readonly spec: { readonly template: PodTemplate } };
  };
}

interface ServerStatus {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  };
}

/** Reads what decides about the sidecar of `target` (`deploy/x`, `pod/x`, …); nothing is changed: the pod is only tried. */
export async function observeInjection(
  kubectl: Kubectl,
  namespace: string,
  target: string,
): Promise<InjectionObserved> {
  const workload = await kubectl.json<Workload>(['get', '-n', namespace, target]);
  if (workload === undefined) throw new CliError('Kubectl', `there is no ${target} in namespace ${namespace}`);
  const template = templateOf(workload, target);
  const podLabels = template.metadata?.labels ?? {};
  const server = podLabels[labels.server];
  return {
    target,
    namespace,
    podLabels,
    server: server === undefined ? undefined : await observeServer(kubectl, namespace, server),
    webhook: await observeWebhook(kubectl),
    dryRun: await tryPod(kubectl, namespace, template),
  };
}

function templateOf(workload: Workload, target: string): PodTemplate {
  const template = workload.spec.template ?? workload.spec.jobTemplate?.spec.template;
  if (template !== undefined) return template;
  if (workload.kind !== 'Pod')
    throw new CliError('Usage', `${target} is a ${workload.kind}, which has no pods of its own`);
  throw new CliError('Usage', `${target} is a pod already; name what makes it, for example deploy/<name>`);
}

async function observeServer(kubectl: Kubectl, namespace: string, name: string): Promise<InjectionObserved['server']> {
  const server = await kubectl.json<ServerStatus>(['get', '-n', namespace, 'mcpservers.mcpkeyring.io', name]);
  if (server === undefined) return undefined;
  const ready = server.status?.conditions?.find((condition) => condition.type === 'Ready');
  return { name, ready: ready?.status === 'True', message: ready?.message ?? 'the operator has not looked at it yet' };
}

async function observeWebhook(kubectl: Kubectl): Promise<InjectionObserved['webhook']> {
  try {
    const found = await kubectl.json<{ webhooks?: { clientConfig: { caBundle?: string } }[] }>([
      'get',
      'mutatingwebhookconfigurations',
      'mcp-keyring-inject',
    ]);
    return {
      exists: found !== undefined,
      trusted: (found?.webhooks ?? []).some((webhook) => (webhook.clientConfig.caBundle ?? '') !== ''),
    };
  } catch (error) {
    if (error instanceof CliError && error.code === 'Kubectl') return 'forbidden';
    throw error;
  }
}

async function tryPod(
  kubectl: Kubectl,
  namespace: string,
  template: PodTemplate,
): Promise<InjectionObserved['dryRun']> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template.metadata, generateName: 'mcpkeys-try-' },
    spec: template.spec,
  };
  try {
    const made = await kubectl.json<PodTemplate>(
      ['create', '-n', namespace, '--dry-run=server', '-f', '-'],
      JSON.stringify(pod),
    );
    const injected = made?.spec.initContainers?.some((container) => container.name === sidecarContainerName) ?? false;
    return { kind: 'admitted', injected };
  } catch (error) {
    if (error instanceof CliError) return { kind: 'refused', message: error.message };
    throw error;
  }
}
