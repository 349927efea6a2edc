import { annotations, brokerAudience, labels, sidecarContainerName, sidecarPorts } from '#crds/v1alpha1/names.ts';

import { checkInjectedLabel } from './annotations.ts';
import { containerBeforeSidecar, hasSidecar } from './patch.ts';
import { otherContainers } from './other-containers.ts';
import type { PodView } from './pod.ts';
import { privilegeChecks } from './privileges.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';
import { isSidecarVolume } from './volumes.ts';

type Check = (pod: PodView) => Refusal | undefined;

/**
 * What may not stand beside the sidecar, in the order in which a person would want to hear it. All run on every look at a pod,
 * so that what another webhook adds later is caught when the API server asks again.
 */
const checks: readonly Check[] = [
  checkRole,
  checkOperatingSystem,
  checkSharedNamespaces,
  ...privilegeChecks,
  checkContainerName,
  checkVolumeNames,
  checkVolumeMounts,
  checkAudiences,
  checkPorts,
  checkFirst,
  checkStatus,
  (pod) => checkInjectedLabel(pod.labels ?? {}),
];

export function firstRefusal(pod: PodView): Refusal | undefined {
  for (const check of checks) {
    const refusal = check(pod);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function checkRole(pod: PodView): Refusal | undefined {
  const agent = pod.labels?.[labels.agent];
  if (agent === undefined) return undefined;
  if (agent !== 'true') {
    return refuse('agentLabelInvalid', `label ${labels.agent} is ${quote(agent)}; write "true", or remove it`);
  }
  if (pod.labels?.[labels.server] === undefined) return undefined;
  const message = `the pod has the labels ${labels.server} and ${labels.agent}, and there is one sidecar in a pod; let the agent run in a pod of its own`;
  return refuse('agentAndServer', message);
}

function checkOperatingSystem(pod: PodView): Refusal | undefined {
  if (pod.operatingSystem === undefined || pod.operatingSystem === 'linux') return undefined;
  return refuse('windows', `the sidecar runs on Linux nodes only, and this pod asks for ${quote(pod.operatingSystem)}`);
}

const sharedNamespaces = {
  hostNetwork: 'other programs on the node could reach the server without the sidecar',
  hostPID: 'the memory of the sidecar could be read',
  hostIPC: 'the memory of the sidecar could be reached',
  shareProcessNamespace: 'the memory of the sidecar could be read by the other containers',
} as const satisfies Partial<Record<keyof PodView, string>>;

function checkSharedNamespaces(pod: PodView): Refusal | undefined {
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'] as const) {
    if (pod[field]) return refuse(field, `spec.${field} must not be true: ${sharedNamespaces[field]}`);
  }
  return undefined;
}

/** Our container counts as such only with our annotation: otherwise its author is the author of the pod. */
function checkContainerName(pod: PodView): Refusal | undefined {
  const ours = pod.annotations?.[annotations.sidecarStatus] === undefined ? 0 : 1;
  const initContainers = (pod.initContainers ?? []).filter((container) => container.name === sidecarContainerName);
  const taken =
    initContainers.length > ours || pod.containers.some((container) => container.name === sidecarContainerName);
  if (!taken) return undefined;
  return refuse(
    'containerNameTaken',
    `the container name ${sidecarContainerName} belongs to the injector; rename the container`,
  );
}

function checkVolumeNames(pod: PodView): Refusal | undefined {
  if (hasSidecar(pod)) return undefined;
  const volume = pod.volumes?.find((candidate) => isSidecarVolume(candidate.name));
  if (volume === undefined) return undefined;
  return refuse('volumeNameTaken', `the volume name ${volume.name} belongs to the injector; rename the volume`);
}

function checkVolumeMounts(pod: PodView): Refusal | undefined {
  for (const container of otherContainers(pod)) {
    const volumeName = container.volumeNames.find(isSidecarVolume);
    if (volumeName === undefined) continue;
    const message = `container ${quote(container.name)} mounts ${volumeName}; only the sidecar may`;
    return refuse('volumeMountForeign', message);
  }
  return undefined;
}

function checkAudiences(pod: PodView): Refusal | undefined {
  const volume = pod.volumes?.find(
    (candidate) => !isSidecarVolume(candidate.name) && candidate.audiences.includes(brokerAudience),
  );
  if (volume === undefined) return undefined;
  const message = `volume ${quote(volume.name)} asks for a token with audience ${brokerAudience}; only the sidecar may hold one`;
  return refuse('audienceForeign', message);
}

const ownPorts: ReadonlySet<number> = new Set(Object.values(sidecarPorts));

function checkPorts(pod: PodView): Refusal | undefined {
  for (const container of otherContainers(pod)) {
    const port = container.ports.find((candidate) => ownPorts.has(candidate));
    if (port === undefined) continue;
    return refuse('portTaken', `container ${quote(container.name)} uses port ${port}, which belongs to the sidecar`);
  }
  return undefined;
}

const injectorAnnotations = [annotations.sidecarStatus, annotations.injectedServers] as const;

/** What runs before the sidecar could listen at its port, and hear what clients send. Declared ports say nothing about it. */
function checkFirst(pod: PodView): Refusal | undefined {
  const earlier = containerBeforeSidecar(pod);
  if (earlier === undefined) return undefined;
  const message = `init container ${quote(earlier.name)} starts before the sidecar and could take its port; whatever adds init containers after the injector must put them behind ${sidecarContainerName}`;
  return refuse('sidecarNotFirst', message);
}

function checkStatus(pod: PodView): Refusal | undefined {
  if (hasSidecar(pod)) return undefined;
  const forged = injectorAnnotations.find((name) => pod.annotations?.[name] !== undefined);
  if (forged === undefined) return undefined;
  const message = `annotation ${forged} is set, but the sidecar is not there; remove the annotation from the pod template`;
  return refuse('statusForged', message);
}
