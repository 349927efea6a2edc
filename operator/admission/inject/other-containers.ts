import { sidecarContainerName } from '#crds/v1alpha1/names.ts';

import type { ContainerView, PodView } from './pod.ts';

/** All containers of the pod but the sidecar, application first as the policies of the chart look at them. */
export function otherContainers(pod: PodView): readonly ContainerView[] {
  return [...pod.containers, ...otherInitContainers(pod)];
}

export function otherInitContainers(pod: PodView): readonly ContainerView[] {
  return (pod.initContainers ?? []).filter((container) => container.name !== sidecarContainerName);
}
