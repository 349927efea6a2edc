import { annotations, group, labels, sidecarContainerName, sidecarVolumeNames } from '#crds/v1alpha1/names.ts';

import { quote, refuse } from './reasons.ts';
import type { Refusal } from './reasons.ts';

export const injectedLabelValue = 'true';

/** Makes `kubectl logs` and `kubectl exec` choose the application, not the sidecar. */
export const defaultContainerAnnotation = 'kubectl.kubernetes.io/default-container';

/** The kubelet's mark on the API object of a static pod. */
export const mirrorAnnotation = 'kubernetes.io/config.mirror';

const tuningPrefix = `${group}/sidecar-`;
export const memoryLimitAnnotation = `${tuningPrefix}memory-limit`;
export const cpuRequestAnnotation = `${tuningPrefix}cpu-request`;

/** What the author of a pod may tune; the defaults hold where a field is absent. Values are Kubernetes quantities. */
export interface Tuning {
  readonly memoryLimit: string;
  readonly cpuRequest: string;
}

export const defaultTuning: Tuning = { memoryLimit: '128Mi', cpuRequest: '25m' };

const mebibyte = 1024 ** 2;
const memoryLimitBytesMin = 64 * mebibyte;
const memoryLimitBytesMax = 4096 * mebibyte;
const cpuRequestMilliMax = 4_000;

interface TuningRule {
  readonly field: keyof Tuning;
  /** `undefined`: not a quantity, or out of bounds. */
  readonly accepts: (text: string) => boolean;
  readonly expected: string;
}

const tuningRules: Readonly<Record<string, TuningRule>> = {
  [memoryLimitAnnotation]: {
    field: 'memoryLimit',
    accepts: (text) => isBetween(memoryBytes(text), memoryLimitBytesMin, memoryLimitBytesMax),
    expected: 'a quantity of memory from 64Mi to 4Gi, for example 256Mi',
  },
  [cpuRequestAnnotation]: {
    field: 'cpuRequest',
    accepts: (text) => isBetween(cpuMilli(text), 1, cpuRequestMilliMax),
    expected: 'a quantity of CPU from 1m to 4, for example 50m',
  },
};

export interface ReadTuning {
  readonly kind: 'tuning';
  readonly tuning: Tuning;
  readonly warnings: readonly string[];
}

/** An unknown name is ignored with a warning; a value that cannot be used refuses the pod, it never falls back silently. */
export function readTuning(podAnnotations: Readonly<Record<string, string>>): ReadTuning | Refusal {
  const tuning: { -readonly [field in keyof Tuning]: string } = { ...defaultTuning };
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(podAnnotations)) {
    if (!name.startsWith(tuningPrefix) || name === annotations.sidecarStatus) continue;
    const rule = Object.hasOwn(tuningRules, name) ? tuningRules[name] : undefined;
    if (rule === undefined) {
      warnings.push(`annotation ${quote(name)} is not known and has no effect`);
    } else if (rule.accepts(value)) {
      tuning[rule.field] = value;
    } else {
      return refuse('annotationInvalid', `annotation ${name} is ${quote(value)}; write ${rule.expected}`);
    }
  }
  return { kind: 'tuning', tuning, warnings: warnings.slice(0, warningsMax) };
}

const warningsMax = 8;

function isBetween(value: number | undefined, min: number, max: number): boolean {
  return value !== undefined && value >= min && value <= max;
}

const memoryUnits: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: mebibyte,
  Gi: 1024 * mebibyte,
};

function memoryBytes(text: string): number | undefined {
  const match = /^([1-9][0-9]{0,11})(k|M|G|Ki|Mi|Gi|)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * (memoryUnits[match[2] ?? ''] ?? Number.NaN);
}

function cpuMilli(text: string): number | undefined {
  const match = /^(?:([1-9][0-9]{0,5})m|([0-9]{1,3}(?:\.[0-9]{1,3})?))$/.exec(text);
  if (match === null) return undefined;
  return match[1] === undefined ? Number(match[2]) * 1_000 : Number(match[1]);
}

/** Value of the status annotation. */
export function sidecarStatus(status: {
  readonly injector: string;
  readonly template: string;
  readonly image: string;
}): string {
  return JSON.stringify({
    version: 1,
    injector: status.injector,
    template: status.template,
    image: status.image,
    containers: [sidecarContainerName],
    volumes: sidecarVolumeNames,
  });
}

/** The template hash in a status annotation; `undefined` when it is not one of ours. */
export function templateHashIn(status: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(status);
    const template =
      typeof parsed === 'object' && parsed !== null && 'template' in parsed ? parsed.template : undefined;
    return typeof template === 'string' ? template : undefined;
  } catch {
    return undefined;
  }
}

/** Also the label value `true` counts as ours: the author asks for nothing else than what the injector does. */
export function checkInjectedLabel(podLabels: Readonly<Record<string, string>>): Refusal | undefined {
  const value = podLabels[labels.injected];
  if (value === undefined || value === injectedLabelValue) return undefined;
  return refuse('injectedLabelInvalid', `label ${labels.injected} is ${quote(value)}; remove it, the injector sets it`);
}
