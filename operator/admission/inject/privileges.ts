import { otherContainers, otherInitContainers } from './other-containers.ts';
import type { ContainerView, PodView } from './pod.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';

/**
 * What the Pod Security Standard "baseline" lets containers add. An allow list of exact names: runtimes take lower case too, and know
 * capabilities that are not written yet. The policies of the chart hold the same list and say the same sentences.
 */
export const baselineCapabilities: readonly string[] = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];

/**
 * Service meshes lead the traffic of a pod through themselves from an init container (istio-init, linkerd-init), which has ended
 * before the application starts. One that goes on running could listen to what clients send to the sidecar.
 */
export const meshInitCapabilities: readonly string[] = ['NET_ADMIN', 'NET_RAW'];

/** What gets a container out of its box, and so at the sidecar or at the tokens of other pods on the node. */
export const privilegeChecks: readonly ((pod: PodView) => Refusal | undefined)[] = [
  checkPrivileged,
  checkCapabilities,
  checkProcMount,
  checkHostPaths,
];

function checkPrivileged(pod: PodView): Refusal | undefined {
  const container = otherContainers(pod).find((candidate) => candidate.isPrivileged);
  if (container === undefined) return undefined;
  const message = `container ${quote(container.name)} is privileged: it could read the memory of the sidecar and every file of the node; remove privileged and windowsOptions.hostProcess from its securityContext`;
  return refuse('privileged', message);
}

function checkCapabilities(pod: PodView): Refusal | undefined {
  const container =
    pod.containers.find((candidate) => addsMoreThan(baselineCapabilities, candidate)) ??
    otherInitContainers(pod).find((candidate) => addsMoreThan(allowedForInit(candidate), candidate));
  if (container === undefined) return undefined;
  const message = `container ${quote(container.name)} adds the capabilities ${quote(container.addedCapabilities.join(', '))}, with which it could get at the sidecar or its traffic; add none but ${baselineCapabilities.join(', ')}, and in init containers that end also ${meshInitCapabilities.join(' and ')}`;
  return refuse('capabilities', message);
}

function allowedForInit(container: ContainerView): readonly string[] {
  return container.isRestarted ? baselineCapabilities : [...baselineCapabilities, ...meshInitCapabilities];
}

function addsMoreThan(allowed: readonly string[], container: ContainerView): boolean {
  return container.addedCapabilities.some((name) => !allowed.includes(name));
}

function checkProcMount(pod: PodView): Refusal | undefined {
  const container = otherContainers(pod).find(({ procMount }) => procMount !== undefined && procMount !== 'Default');
  if (container === undefined) return undefined;
  const message = `container ${quote(container.name)} has another procMount than Default, which opens files of the kernel that are about all containers of the node; remove procMount from its securityContext`;
  return refuse('procMount', message);
}

function checkHostPaths(pod: PodView): Refusal | undefined {
  const volume = pod.volumes?.find((candidate) => candidate.isHostPath);
  if (volume === undefined) return undefined;
  const message = `volume ${quote(volume.name)} is a path of the node (hostPath), where tokens of other pods and the socket of the container runtime are; use a persistentVolumeClaim, a configMap or an emptyDir`;
  return refuse('hostPath', message);
}
