import { sidecarContainerName } from '#crds/v1alpha1/names.ts';

import type { Fields } from '../fields.ts';
import type { ContainerView, PodView } from './pod.ts';

/** RFC 6902. Only `add`, and never at a place that holds something: the author's part of a pod stays as it is. */
export interface PatchOperation {
  readonly op: 'add';
  readonly path: string;
  readonly value: unknown;
}

/** Containers of service meshes that set up or carry the pod's network, and so have to be there before our sidecar connects. The policies of the chart have the same list. */
export const meshContainers: ReadonlySet<string> = new Set([
  'istio-init',
  'istio-validation',
  'istio-proxy',
  'linkerd-init',
  'linkerd-network-validator',
  'linkerd-proxy',
  'kuma-init',
  'kuma-validation',
  'kuma-sidecar',
  'consul-connect-inject-init',
  'consul-dataplane',
]);

/** The container that a person means when they name none. */
export function firstApplicationContainer(pod: PodView): string | undefined {
  const application = pod.containers.find((container) => !isMeshContainer(container.name));
  return (application ?? pod.containers[0])?.name;
}

export function hasSidecar(pod: PodView): boolean {
  return pod.initContainers?.some((container) => container.name === sidecarContainerName) === true;
}

/** The first init container that is not the mesh's own and stands before our sidecar, if that is there. */
export function containerBeforeSidecar(pod: PodView): ContainerView | undefined {
  if (!hasSidecar(pod)) return undefined;
  const first = pod.initContainers?.find((container) => !isMeshContainer(container.name));
  return first?.name === sidecarContainerName ? undefined : first;
}

/** First of all, but after the mesh's own: every later init container then finds the sidecar running. */
export function addSidecar(pod: PodView, container: Fields): PatchOperation {
  if (pod.initContainers === undefined) return add('/spec/initContainers', [container]);
  return add(`/spec/initContainers/${meshPrefixLength(pod.initContainers)}`, container);
}

function meshPrefixLength(containers: readonly ContainerView[]): number {
  const index = containers.findIndex((container) => !isMeshContainer(container.name));
  return index === -1 ? containers.length : index;
}

export function addVolumes(pod: PodView, volumes: readonly Fields[]): readonly PatchOperation[] {
  if (pod.volumes === undefined) return [add('/spec/volumes', volumes)];
  return volumes.map((volume) => add('/spec/volumes/-', volume));
}

/** Adds the entries whose key is absent. */
export function addEntries(
  field: 'labels' | 'annotations',
  present: Readonly<Record<string, string>> | undefined,
  entries: Readonly<Record<string, string>>,
): readonly PatchOperation[] {
  const missing = Object.entries(entries).filter(([key]) => present?.[key] === undefined);
  if (missing.length === 0) return [];
  if (present === undefined) return [add(`/metadata/${field}`, Object.fromEntries(missing))];
  return missing.map(([key, value]) => add(`/metadata/${field}/${escapePointer(key)}`, value));
}

/** Adds to a container that has `environment` already, or none at all. `path` is that of the container. */
export function addVariables(
  path: string,
  environment: readonly unknown[] | undefined,
  variables: readonly object[],
): readonly PatchOperation[] {
  if (variables.length === 0) return [];
  if (environment === undefined) return [add(`${path}/env`, variables)];
  return variables.map((variable) => add(`${path}/env/-`, variable));
}

/** Whether it belongs to a service mesh, which sets up the pod for the others. */
export function isMeshContainer(name: string): boolean {
  return meshContainers.has(name);
}

function add(path: string, value: unknown): PatchOperation {
  return { op: 'add', path, value };
}

/** RFC 6901 section 3. */
function escapePointer(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1');
}
