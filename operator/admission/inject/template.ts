import { createHash } from 'node:crypto';

import { sidecarPorts } from '#crds/v1alpha1/names.ts';

import type { Fields } from '../fields.ts';
import { readTuning } from './annotations.ts';
import { sidecarContainer } from './sidecar-container.ts';
import type { InjectionSettings, InjectionTarget, SidecarOptions } from './sidecar-container.ts';
import { sidecarVolumes } from './volumes.ts';

/** Everything that is injected into one pod, and its hash. */
export interface SidecarTemplate {
  readonly container: Fields;
  readonly volumes: readonly Fields[];
  readonly image: string;
  /** Names what is injected, so that a pod with an older sidecar can be told. */
  readonly hash: string;
}

export function sidecarTemplate(options: SidecarOptions): SidecarTemplate {
  const container = sidecarContainer(options);
  const volumes = sidecarVolumes();
  // The order of keys is ours, hence the text is the same for the same template.
  const hash = createHash('sha256')
    .update(JSON.stringify([container, volumes]))
    .digest('hex');
  return { container, volumes, image: options.settings.sidecarImage, hash: `sha256:${hash}` };
}

/** The part of an McpServer that the injector reads. */
export interface InjectableServer {
  readonly spec: {
    readonly upstream: {
      readonly workload?: InjectableWorkload | undefined;
      readonly managed?: InjectableWorkload | undefined;
      readonly remote?: object | undefined;
    };
  };
}

interface InjectableWorkload {
  readonly port: number;
  readonly path?: string | undefined;
}

/** McpServer names are bound by the schema to this; anything else cannot name one. */
const serverNamePattern = /^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

export function isServerName(text: string): boolean {
  return serverNamePattern.test(text);
}

const reservedPorts: readonly number[] = Object.values(sidecarPorts);

/** What a sidecar of `server` stands in front of; `undefined` when there is nothing that could carry one. */
export function targetOf(
  ref: { readonly namespace: string; readonly name: string },
  server: InjectableServer,
): InjectionTarget | undefined {
  const workload = server.spec.upstream.workload ?? server.spec.upstream.managed;
  if (workload === undefined || reservedPorts.includes(workload.port)) return undefined;
  return { ...ref, port: workload.port, path: workload.path ?? '/mcp' };
}

/**
 * The hash that a pod with these annotations would be injected with now; `undefined` when it would be refused. Compare with
 * `templateHashIn` of its status annotation.
 */
export function currentTemplateHash(
  podAnnotations: Readonly<Record<string, string>>,
  target: InjectionTarget,
  settings: InjectionSettings,
): string | undefined {
  const tuned = readTuning(podAnnotations);
  return tuned.kind === 'refuse'
    ? undefined
    : sidecarTemplate({ settings, role: { kind: 'server', target }, tuning: tuned.tuning }).hash;
}
