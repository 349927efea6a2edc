import { annotations, labels } from '#crds/v1alpha1/names.ts';

import { agentEnvironment, checkEnvironment } from './agent-environment.ts';
import type { Variable } from './agent-environment.ts';
import { agentServers, injectedServersText } from './agent-servers.ts';
import type { AgentWorld } from './agent-servers.ts';
import type { PodView } from './pod.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';
import type { InjectionSettings, SidecarRole } from './sidecar-container.ts';
import { isServerName, targetOf } from './template.ts';
import type { InjectableServer } from './template.ts';

/** The cluster as the caches hold it; nothing here asks the API server. */
export interface InjectionWorld extends Pick<AgentWorld, 'remoteServersIn' | 'organizationOf'> {
  readonly findServer: (namespace: string, name: string) => InjectableServer | undefined;
  /** `undefined`: not read yet, or the sidecar image is not known. */
  readonly settings: InjectionSettings | undefined;
  readonly injectorVersion: string;
}

/** What a pod gets because of its labels, beside the sidecar itself. */
export interface InjectionPlan {
  readonly kind: 'plan';
  readonly role: SidecarRole;
  /** Beyond those that every injected pod has. */
  readonly annotations: Readonly<Record<string, string>>;
  /** For the containers of the pod's author. */
  readonly variables: readonly Variable[];
}

/** For a pod that is labelled as one of both. */
export function planFor(pod: PodView, namespace: string, world: InjectionWorld): InjectionPlan | Refusal {
  const serverName = pod.labels?.[labels.server];
  return serverName === undefined
    ? planForAgent(pod, namespace, world)
    : planForServer({ namespace, name: serverName }, world);
}

function planForServer(
  ref: { readonly namespace: string; readonly name: string },
  world: InjectionWorld,
): InjectionPlan | Refusal {
  if (!isServerName(ref.name)) {
    return refuse(
      'serverLabelInvalid',
      `label ${labels.server} is ${quote(ref.name)}, which cannot be the name of an McpServer`,
    );
  }
  const server = world.findServer(ref.namespace, ref.name);
  if (server === undefined) {
    const message = `label ${labels.server} names McpServer ${quote(ref.name)}, which does not exist in namespace ${quote(ref.namespace)}; create it first`;
    return refuse('serverNotFound', message);
  }
  const target = targetOf(ref, server);
  if (target === undefined) {
    const message = `McpServer ${quote(ref.name)} has no upstream.workload or upstream.managed that a sidecar could stand in front of`;
    return refuse('serverNotInjectable', message);
  }
  return { kind: 'plan', role: { kind: 'server', target }, annotations: {}, variables: [] };
}

function planForAgent(pod: PodView, namespace: string, world: InjectionWorld): InjectionPlan | Refusal {
  const chosen = agentServers(pod.annotations ?? {}, namespace, {
    hasServer: (ref) => world.findServer(ref.namespace, ref.name) !== undefined,
    remoteServersIn: world.remoteServersIn,
    organizationOf: world.organizationOf,
  });
  if (chosen.kind === 'refuse') return chosen;
  const { servers } = chosen;
  const environment = agentEnvironment(servers, namespace);
  if (environment.kind === 'refuse') return environment;
  const { variables } = environment;
  const taken = checkEnvironment(pod, variables);
  if (taken !== undefined) return taken;
  const record = { [annotations.injectedServers]: injectedServersText(servers) };
  return { kind: 'plan', role: { kind: 'agent', servers }, annotations: record, variables };
}
