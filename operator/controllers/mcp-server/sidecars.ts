import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { annotations, labels } from '#crds/v1alpha1/names.ts';
import { templateHashIn } from '#operator/admission/inject/annotations.ts';
import type { InjectionSettings } from '#operator/admission/inject/sidecar-container.ts';
import { currentTemplateHash, targetOf } from '#operator/admission/inject/template.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** Pods of one server, by what sidecar they carry. Names, so that a message can say which. */
export interface SidecarCensus {
  readonly current: readonly string[];
  readonly outdated: readonly string[];
  /** Pods made while no injector was there; the admission policy refuses new ones. */
  readonly absent: readonly string[];
}

/** What a pod with these annotations would be injected with now; `undefined` when that is not known, or nothing. */
export type CurrentTemplate = (podAnnotations: Readonly<Record<string, string>>) => string | undefined;

/** The template of `server`; without settings nothing is known, and nobody is told to restart pods for it. */
export function currentTemplateOf(
  server: McpServer,
  settings: InjectionSettings | undefined,
): CurrentTemplate | undefined {
  const { namespace = '', name } = server.metadata;
  const target = targetOf({ namespace, name }, server);
  if (settings === undefined || target === undefined) return undefined;
  return (podAnnotations) => currentTemplateHash(podAnnotations, target, settings);
}

/** Counts pods that are not on their way out. */
export function takeCensus(pods: readonly KubeObject[], current: CurrentTemplate | undefined): SidecarCensus {
  const census = { current: [] as string[], outdated: [] as string[], absent: [] as string[] };
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined) continue;
    census[kindOf(pod, current)].push(pod.metadata.name);
  }
  return census;
}

function kindOf({ metadata }: KubeObject, current: CurrentTemplate | undefined): keyof SidecarCensus {
  if (metadata.labels?.[labels.injected] !== 'true') return 'absent';
  if (current === undefined) return 'current';
  const podAnnotations = metadata.annotations ?? {};
  const carried = templateHashIn(podAnnotations[annotations.sidecarStatus] ?? '');
  return carried !== undefined && carried === current(podAnnotations) ? 'current' : 'outdated';
}
