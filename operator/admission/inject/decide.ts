import { isDeepStrictEqual } from 'node:util';

import { annotations, labels, sidecarContainerName } from '#crds/v1alpha1/names.ts';

import { FieldError } from '../fields.ts';
import {
  defaultContainerAnnotation,
  injectedLabelValue,
  mirrorAnnotation,
  readTuning,
  sidecarStatus,
  templateHashIn,
} from './annotations.ts';
import { addEnvironment } from './agent-environment.ts';
import { firstRefusal } from './checks.ts';
import { addEntries, addSidecar, addVolumes, firstApplicationContainer, hasSidecar } from './patch.ts';
import type { PatchOperation } from './patch.ts';
import { planFor } from './plan.ts';
import type { InjectionPlan, InjectionWorld } from './plan.ts';
import { parsePod } from './pod.ts';
import type { PodView } from './pod.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal, SkipReason } from './reasons.ts';
import { changedFields } from './sidecar-container.ts';
import { sidecarTemplate } from './template.ts';
import type { SidecarTemplate } from './template.ts';
import { isSidecarVolume } from './volumes.ts';

/** What becomes of a pod. */
export type Injection =
  | { readonly kind: 'patch'; readonly operations: readonly PatchOperation[]; readonly warnings: readonly string[] }
  | { readonly kind: 'skip'; readonly reason: SkipReason }
  | Refusal;

/** `object` is the untrusted pod; `namespace` comes from the API server. */
export function decideInjection(object: unknown, namespace: string, world: InjectionWorld): Injection {
  try {
    return decideForPod(parsePod(object), namespace, world);
  } catch (error) {
    if (error instanceof FieldError) return refuse('podMalformed', `the pod cannot be read: ${error.message}`);
    throw error;
  }
}

function decideForPod(pod: PodView, namespace: string, world: InjectionWorld): Injection {
  const skipped = skipReasonOf(pod);
  if (skipped !== undefined) return { kind: 'skip', reason: skipped };
  const refusal = firstRefusal(pod);
  if (refusal !== undefined) return refusal;
  if (world.settings === undefined)
    return refuse('notReady', 'the sidecar injector is still starting; try again in a moment');
  const plan = planFor(pod, namespace, world);
  if (plan.kind === 'refuse') return plan;
  const tuned = readTuning(pod.annotations ?? {});
  if (tuned.kind === 'refuse') return tuned;
  const template = sidecarTemplate({ settings: world.settings, role: plan.role, tuning: tuned.tuning });
  if (hasSidecar(pod)) return reinjection(pod, template, plan);
  return injection(pod, { template, plan, injector: world.injectorVersion, warnings: tuned.warnings });
}

function skipReasonOf(pod: PodView): SkipReason | undefined {
  const isLabelled = pod.labels?.[labels.server] !== undefined || pod.labels?.[labels.agent] !== undefined;
  if (!isLabelled) return 'notLabelled';
  return pod.annotations?.[mirrorAnnotation] === undefined ? undefined : 'mirrorPod';
}

interface NewInjection {
  readonly template: SidecarTemplate;
  readonly plan: InjectionPlan;
  readonly injector: string;
  readonly warnings: readonly string[];
}

function injection(pod: PodView, { template, plan, injector, warnings }: NewInjection): Injection {
  const status = sidecarStatus({ injector, template: template.hash, image: template.image });
  const operations = [
    ...addEnvironment(pod, plan.variables),
    addSidecar(pod, template.container),
    ...addVolumes(pod, template.volumes),
    ...addEntries('labels', pod.labels, { [labels.injected]: injectedLabelValue }),
    ...addEntries('annotations', pod.annotations, {
      ...defaultContainerEntry(pod),
      ...plan.annotations,
      [annotations.sidecarStatus]: status,
    }),
  ];
  return { kind: 'patch', operations, warnings };
}

/** The API server asks again when another webhook changed the pod after us: the sidecar must still be ours, to the letter. */
function reinjection(pod: PodView, template: SidecarTemplate, plan: InjectionPlan): Injection {
  const changed = changesSinceInjection(pod, template, plan);
  if (changed.length > 0) {
    const message = `the injected sidecar was changed (${changed.join(', ')}); whatever changes pods after the injector must leave ${sidecarContainerName} alone`;
    return refuse('sidecarChanged', message);
  }
  const operations = [
    ...addEnvironment(pod, plan.variables),
    ...addEntries('labels', pod.labels, { [labels.injected]: injectedLabelValue }),
    ...addEntries('annotations', pod.annotations, defaultContainerEntry(pod)),
  ];
  if (operations.length === 0) return { kind: 'skip', reason: 'alreadyInjected' };
  return { kind: 'patch', operations, warnings: [] };
}

function changesSinceInjection(pod: PodView, template: SidecarTemplate, plan: InjectionPlan): readonly string[] {
  const container = pod.initContainers?.find((candidate) => candidate.name === sidecarContainerName);
  const changed = changedFields(container?.raw ?? {}, template.container).map(quote);
  const volumes = (pod.volumes ?? []).filter((volume) => isSidecarVolume(volume.name)).map((volume) => volume.raw);
  const status = pod.annotations?.[annotations.sidecarStatus] ?? '';
  const records = Object.entries(plan.annotations).filter(([name, value]) => pod.annotations?.[name] !== value);
  return [
    ...changed.slice(0, changedFieldsNamedMax),
    ...(isDeepStrictEqual(volumes, template.volumes) ? [] : ['volumes']),
    ...(templateHashIn(status) === template.hash ? [] : ['status annotation']),
    ...records.map(([name]) => `annotation ${name}`),
  ];
}

const changedFieldsNamedMax = 8;

function defaultContainerEntry(pod: PodView): Readonly<Record<string, string>> {
  const name = firstApplicationContainer(pod);
  return name === undefined ? {} : { [defaultContainerAnnotation]: name };
}
