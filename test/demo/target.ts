/** Which cluster the demo works on and how every command is aimed at it. Decisions only: nothing here runs or reads anything. */

export type ClusterKind = 'lab' | 'kind' | 'current';

/** The demo's own kind cluster; a cluster `kind` that somebody has already is not touched. */
export const kindName = 'mcp-keyring-demo';

export interface Target {
  readonly kind: ClusterKind;
  /** Given on every kubectl and helm command; absent in the lab, which has a network and a kubeconfig of its own. */
  readonly context?: string;
  /** Absent: the kubeconfig of whoever runs the demo. */
  readonly kubeconfig?: string;
}

/** The demo's kind cluster has a kubeconfig file of its own, so that the user's is neither changed nor read. */
export function kindTarget(kubeconfig: string): Target {
  return { kind: 'kind', context: `kind-${kindName}`, kubeconfig };
}

/** The flags of kubectl that lead to the target; plugins take them too, but after their name. */
export function kubectlFlags({ context, kubeconfig }: Target): readonly string[] {
  return [...flag('--context', context), ...flag('--kubeconfig', kubeconfig)];
}

function flag(name: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [name, value];
}

/** The same command, for kubectl and helm with the flags that lead to the target whatever the current context is by then. */
export function aimed(target: Target, command: readonly string[]): readonly string[] {
  const [program = '', ...args] = command;
  if (program === 'kubectl') return [program, ...kubectlFlags(target), ...args];
  if (program === 'helm')
    return [program, ...flag('--kube-context', target.context), ...flag('--kubeconfig', target.kubeconfig), ...args];
  return command;
}

/** Without Helm's own variables (HELM_KUBECONTEXT, HELM_KUBEAPISERVER, ...), which would lead helm elsewhere than kubectl. */
export function aimedEnvironment(target: Target, environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !name.startsWith('HELM_KUBE'));
  return { ...Object.fromEntries(kept), ...(target.kubeconfig === undefined ? {} : { KUBECONFIG: target.kubeconfig }) };
}

/** How images built here get to the nodes. */
export type Delivery =
  | { readonly how: 'lab' }
  | { readonly how: 'kind'; readonly name: string }
  | { readonly how: 'minikube' }
  | { readonly how: 'shared' }
  | { readonly how: 'push'; readonly registry: string };

/** Contexts whose nodes take images from the Docker engine of this machine. */
const sharedContexts = new Set(['docker-desktop', 'orbstack']);

/** Throws when the nodes could not get the images: better now than by ImagePullBackOff minutes later. */
export function deliveryFor({ kind, context = '' }: Target, registry: string): Delivery {
  if (kind === 'lab') return { how: 'lab' };
  if (kind === 'kind') return { how: 'kind', name: kindName };
  if (registry !== '') return { how: 'push', registry: registry.replace(/\/+$/u, '') };
  if (context.startsWith('kind-')) return { how: 'kind', name: context.slice('kind-'.length) };
  if (context === 'minikube') return { how: 'minikube' };
  if (sharedContexts.has(context)) return { how: 'shared' };
  throw new Error(`the demo builds its images on this machine, and the nodes of the context ${context} could not get them.
Give a registry that you can push to and the nodes can pull from without credentials:
  CLUSTER=current REGISTRY=registry.example/team make demo
Without REGISTRY it works with the contexts kind-*, minikube, ${[...sharedContexts].join(', ')}; or leave out CLUSTER for a cluster of the demo's own.`);
}

export function describeDelivery(delivery: Delivery): string {
  switch (delivery.how) {
    case 'lab':
      return 'built into the lab cluster';
    case 'kind':
      return `loaded into the kind cluster ${delivery.name}`;
    case 'minikube':
      return 'loaded into minikube';
    case 'shared':
      return 'taken from the Docker engine of this machine';
    case 'push':
      return `pushed to ${delivery.registry}; the nodes have to be able to pull from there without credentials`;
  }
}

/** The command that hands one built image to the nodes, if one is needed. */
export function deliverCommand(delivery: Delivery, image: string): readonly string[] | undefined {
  switch (delivery.how) {
    case 'kind':
      return ['kind', 'load', 'docker-image', image, '--name', delivery.name];
    case 'minikube':
      return ['minikube', '-p', 'minikube', 'image', 'load', image];
    case 'push':
      return ['docker', 'push', image];
    case 'lab':
    case 'shared':
      return undefined;
  }
}

/** The programs that a command of the demo starts; the lab cluster brings its own. */
export function neededPrograms(action: 'up' | 'down', kind: ClusterKind, delivery?: Delivery): readonly string[] {
  if (kind === 'lab') return [];
  if (action === 'down') return kind === 'kind' ? ['docker', 'kind'] : ['kubectl', 'helm'];
  const loader = kind === 'kind' ? kind : delivery?.how;
  return ['docker', 'kubectl', 'helm', ...(loader === 'kind' || loader === 'minikube' ? [loader] : [])];
}

/** Ends the demo's own kind cluster, if it is there; no other. */
export function kindDownCommand(clusters: readonly string[], kubeconfig: string): readonly string[] | undefined {
  if (!clusters.includes(kindName)) return undefined;
  return ['kind', 'delete', 'cluster', '--name', kindName, '--kubeconfig', kubeconfig];
}

/** The demo's own kind cluster: made, or only its kubeconfig written anew. */
export function kindUpCommand(clusters: readonly string[], kubeconfig: string): readonly string[] {
  return clusters.includes(kindName)
    ? ['kind', 'export', 'kubeconfig', '--name', kindName, '--kubeconfig', kubeconfig]
    : ['kind', 'create', 'cluster', '--name', kindName, '--kubeconfig', kubeconfig, '--wait', '120s'];
}

/** What ends this demo again: the choice of the cluster is repeated when it was made by hand. */
export function downHint(asked: string | undefined): string {
  return asked === undefined || asked === '' ? 'make demo-down' : `CLUSTER=${asked} make demo-down`;
}
