import type { EndpointSlice } from '#operator/kube/resources.ts';

/** On an EndpointSlice: the Service that it is for. */
export const serviceNameLabel = 'kubernetes.io/service-name';

/** Pods that requests are sent to now. One pod is in a slice for each address family. */
export function readyPodsIn(slices: readonly EndpointSlice[]): ReadonlySet<string> {
  const ready = slices
    .flatMap(({ endpoints }) => endpoints ?? [])
    // "A nil value should be interpreted as ready" (EndpointConditions).
    .filter(({ conditions }) => conditions?.ready !== false && conditions?.terminating !== true)
    .flatMap(({ targetRef }) => (targetRef?.name === undefined ? [] : [targetRef.name]));
  return new Set(ready);
}
