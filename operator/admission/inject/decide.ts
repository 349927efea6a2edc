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
import { firstRefusal } from './checks.ts';
import { addEntries, addSidecar, addVolumes, firstApplicationContainer, hasSidecar } from './patch.ts';
import type { PatchOperation } from './patch.ts';
import { parsePod } from './pod.ts';
import type { PodView } from './pod.ts';
import { quote, refuse } from './reasons.ts';
import type { Refusal, SkipReason } from './reasons.ts';
import { changedFields } from './sidecar-container.ts';
import type { InjectionSettings, InjectionTarget } from './sidecar-container.ts';
import { sidecarTemplate, targetOf } from './template.ts';
import type { InjectableServer, SidecarTemplate } from './template.ts';
import { isSidecarVolume } from './volumes.ts';

/** What becomes of a pod. */
export type Injection =
  | { readonly kind: 'patch'; readonly operations: readonly PatchOperation[]; readonly warnings: readonly string[] }
  | { readonly kind: 'skip'; readonly reason: SkipReason }
  | Refusal;

/** The cluster as the caches hold it; nothing here asks the API server. */
export interface InjectionWorld {
  readonly findServer: (namespace: string, name: string) => InjectableServer | undefined;
  /** `undefined`: not read yet, or the sidecar image is not known. */
  readonly settings: InjectionSettings | undefined;
  readonly injectorVersion: string;
}

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
  const serverName = pod.labels?.[labels.server];
  if (serverName === undefined) return { kind: 'skip', reason: 'notLabelled' };
  if (pod.annotations?.[mirrorAnnotation] !== undefined) return { kind: 'skip', reason: 'mirrorPod' };
  const refusal = firstRefusal(pod);
  if (refusal !== undefined) return refusal;
  if (world.settings === undefined)
    return refuse('notReady', 'the sidecar injector is still starting; try again in a moment');
  const target = findTarget({ namespace, name: serverName }, world);
  if (target.kind === 'refuse') return target;
  const tuned = readTuning(pod.annotations ?? {});
  if (tuned.kind === 'refuse') return tuned;
  const template = sidecarTemplate({ settings: world.settings, target: target.target, tuning: tuned.tuning });
  if (hasSidecar(pod)) return reinjection(pod, template);
  return injection(pod, { ...template, injector: world.injectorVersion, warnings: tuned.warnings });
}

/** McpServer names are bound by the schema to this; anything else cannot name one. */
const serverNamePattern = /^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

function findTarget(
  ref: { readonly namespace: string; readonly name: string },
  world: InjectionWorld,
): { readonly kind: 'target'; readonly target: InjectionTarget } | Refusal {
  if (!serverNamePattern.test(ref.name)) {
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
  return { kind: 'target', target };
}

function injection(
  pod: PodView,
  template: SidecarTemplate & { readonly injector: string; readonly warnings: readonly string[] },
): Injection {
  const status = sidecarStatus({ injector: template.injector, template: template.hash, image: template.image });
  const operations = [
    addSidecar(pod, template.container),
    ...addVolumes(pod, template.volumes),
    ...addEntries('labels', pod.labels, { [labels.injected]: injectedLabelValue }),
    ...addEntries('annotations', pod.annotations, {
      ...defaultContainerEntry(pod),
      [annotations.sidecarStatus]: status,
    }),
  ];
  return { kind: 'patch', operations, warnings: template.warnings };
}

/** The API server asks again when another webhook changed the pod after us: the sidecar must still be ours, to the letter. */
function reinjection(pod: PodView, template: SidecarTemplate): Injection {
  const changed = changesSinceInjection(pod, template);
  if (changed.length > 0) {
    const message = `the injected sidecar was changed (${changed.join(', ')}); whatever changes pods after the injector must leave ${sidecarContainerName} alone`;
    return refuse('sidecarChanged', message);
  }
  const operations = [
    ...addEntries('labels', pod.labels, { [labels.injected]: injectedLabelValue }),
    ...addEntries('annotations', pod.annotations, defaultContainerEntry(pod)),
  ];
  if (operations.length === 0) return { kind: 'skip', reason: 'alreadyInjected' };
  return { kind: 'patch', operations, warnings: [] };
}

function changesSinceInjection(pod: PodView, template: SidecarTemplate): readonly string[] {
  const container = pod.initContainers?.find((candidate) => candidate.name === sidecarContainerName);
  const changed = changedFields(container?.raw ?? {}, template.container).map(quote);
  const volumes = (pod.volumes ?? []).filter((volume) => isSidecarVolume(volume.name)).map((volume) => volume.raw);
  const status = pod.annotations?.[annotations.sidecarStatus] ?? '';
  return [
    ...changed.slice(0, changedFieldsNamedMax),
    ...(isDeepStrictEqual(volumes, template.volumes) ? [] : ['volumes']),
    ...(templateHashIn(status) === template.hash ? [] : ['status annotation']),
  ];
}

const changedFieldsNamedMax = 8;

function defaultContainerEntry(pod: PodView): Readonly<Record<string, string>> {
  const name = firstApplicationContainer(pod);
  return name === undefined ? {} : { [defaultContainerAnnotation]: name };
}
