import type { ServerRef } from '#contract/lease.ts';
import { sidecarContainerName, sidecarPorts } from '#crds/v1alpha1/names.ts';

import { addVariables, isMeshContainer } from './patch.ts';
import type { PatchOperation } from './patch.ts';
import type { ContainerView, PodView } from './pod.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';

export interface Variable {
  readonly name: string;
  readonly value: string;
}

export type AgentEnvironment = { readonly kind: 'environment'; readonly variables: readonly Variable[] } | Refusal;

/**
 * `MCP_SERVER_<NAME>_URL` for each server, where its sidecar listens. Of servers with the same name, that of another namespace than
 * the pod's is `MCP_SERVER_<NAMESPACE>__<NAME>_URL`.
 */
export function agentEnvironment(servers: readonly ServerRef[], namespace: string): AgentEnvironment {
  const variables = servers.map((server) => ({ name: variableName(server, servers, namespace), value: urlOf(server) }));
  const names = variables.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return { kind: 'environment', variables };
  const message = `two servers of the agent would have the variable ${quote(twice)}; let two agents call them`;
  return refuse('agentServersInvalid', message);
}

function variableName(server: ServerRef, servers: readonly ServerRef[], namespace: string): string {
  const hasNamesake = servers.some((other) => other.name === server.name && other.namespace !== server.namespace);
  const isForeign = hasNamesake && server.namespace !== namespace;
  const words = isForeign ? `${server.namespace}__${server.name}` : server.name;
  return `MCP_SERVER_${words.replaceAll('-', '_').toUpperCase()}_URL`;
}

function urlOf({ namespace, name }: ServerRef): string {
  return `http://127.0.0.1:${sidecarPorts.ingress}/${namespace}/${name}/mcp`;
}

interface Place {
  /** JSON pointer of the container. */
  readonly path: string;
  readonly container: ContainerView;
}

/** Containers of the pod's author: those of service meshes call nobody, and their own webhooks compare them. */
function authorContainers(pod: PodView): readonly Place[] {
  const places = [
    ...pod.containers.map((container, index) => ({ path: `/spec/containers/${index}`, container })),
    ...(pod.initContainers ?? []).map((container, index) => ({ path: `/spec/initContainers/${index}`, container })),
  ];
  return places.filter(({ container: { name } }) => name !== sidecarContainerName && !isMeshContainer(name));
}

/** A variable of the author's own is never overwritten, and never left to lead an agent elsewhere. */
export function checkEnvironment(pod: PodView, variables: readonly Variable[]): Refusal | undefined {
  for (const { container } of authorContainers(pod)) {
    const taken = variables.find((variable) => isTaken(container, variable));
    if (taken === undefined) continue;
    const message = `container ${quote(container.name)} sets ${taken.name}, which the injector sets to ${taken.value}; remove it`;
    return refuse('environmentTaken', message);
  }
  return undefined;
}

function isTaken({ environment = [] }: ContainerView, { name, value }: Variable): boolean {
  return environment.some((present) => present.name === name && present.value !== value);
}

/** Paths hold as long as no container has been added. */
export function addEnvironment(pod: PodView, variables: readonly Variable[]): readonly PatchOperation[] {
  return authorContainers(pod).flatMap(({ path, container: { environment } }) => {
    const missing = variables.filter(({ name }) => !environment?.some((present) => present.name === name));
    return addVariables(path, environment, missing);
  });
}
