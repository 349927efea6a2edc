import { annotations, labels } from '#crds/v1alpha1/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** Pods of one server, by what sidecar they carry. Names, so that a message can say which. */
export interface SidecarCensus {
  readonly current: readonly string[];
  readonly outdated: readonly string[];
  /** Pods made while no injector was there; the admission policy refuses new ones. */
  readonly absent: readonly string[];
}

/** Counts pods that are not on their way out. `image` is what would be injected now; unknown means that nothing is outdated. */
export function takeCensus(pods: readonly KubeObject[], image: string | undefined): SidecarCensus {
  const census = { current: [] as string[], outdated: [] as string[], absent: [] as string[] };
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined) continue;
    census[kindOf(pod, image)].push(pod.metadata.name);
  }
  return census;
}

function kindOf({ metadata }: KubeObject, image: string | undefined): keyof SidecarCensus {
  if (metadata.labels?.[labels.injected] !== 'true') return 'absent';
  if (image === undefined) return 'current';
  return imageOf(metadata.annotations?.[annotations.sidecarStatus]) === image ? 'current' : 'outdated';
}

/** The image that the injector noted; `undefined` when the note is not one of ours. */
function imageOf(note: string | undefined): string | undefined {
  if (note === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(note);
    if (typeof parsed !== 'object' || parsed === null || !('image' in parsed)) return undefined;
    return typeof parsed.image === 'string' ? parsed.image : undefined;
  } catch {
    return undefined;
  }
}
