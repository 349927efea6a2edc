import { isDeepStrictEqual } from 'node:util';

import type { ServerRef } from '#contract/lease.ts';
import { sidecarContainerName, sidecarPorts } from '#crds/v1alpha1/names.ts';

import { isFields } from '../fields.ts';
import type { Fields } from '../fields.ts';
import type { Tuning } from './annotations.ts';
import { caBundlePath, identityTokenPath, sidecarVolumeMounts } from './volumes.ts';

/** What the installation decides about every sidecar. */
export interface InjectionSettings {
  readonly sidecarImage: string;
  /** `undefined`: left to the cluster, as OpenShift gives each namespace its own range. */
  readonly runAsUser: number | undefined;
  readonly brokerUrl: string;
}

/** The MCP server that the sidecar stands in front of. */
export interface InjectionTarget {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly path: string;
}

/** What the sidecar is there for. */
export type SidecarRole =
  | { readonly kind: 'server'; readonly target: InjectionTarget }
  /** It listens on the loopback of a pod that calls these servers; sorted, at least one. */
  | { readonly kind: 'agent'; readonly servers: readonly ServerRef[] };

export interface SidecarOptions {
  readonly settings: InjectionSettings;
  readonly role: SidecarRole;
  readonly tuning: Tuning;
}

/**
 * A native sidecar: an init container that goes on running, so that it is there before the application and Jobs still complete. All
 * defaults of the API server are written out, so that a second look at the pod compares equal.
 */
export function sidecarContainer({ settings, role, tuning }: SidecarOptions): Fields {
  return {
    name: sidecarContainerName,
    image: settings.sidecarImage,
    args: [...roleArgs(role), ...commonArgs(settings)],
    ports: [
      ...(role.kind === 'agent' ? [] : [{ name: 'mcp-ingress', containerPort: sidecarPorts.ingress, protocol: 'TCP' }]),
      { name: 'mcp-health', containerPort: sidecarPorts.health, protocol: 'TCP' },
      { name: 'mcp-metrics', containerPort: sidecarPorts.metrics, protocol: 'TCP' },
    ],
    resources: {
      limits: { memory: tuning.memoryLimit },
      requests: { cpu: tuning.cpuRequest, memory: '64Mi' },
    },
    volumeMounts: sidecarVolumeMounts(),
    // Startup asks /livez: were it /readyz, an outage of the broker would keep the application from starting.
    startupProbe: {
      ...healthCheck('/livez'),
      timeoutSeconds: 1,
      periodSeconds: 1,
      successThreshold: 1,
      failureThreshold: 120,
    },
    readinessProbe: {
      ...healthCheck('/readyz'),
      timeoutSeconds: 2,
      periodSeconds: 5,
      successThreshold: 1,
      failureThreshold: 3,
    },
    // The kubelet runs this the moment the pod starts to terminate. A command and no request, which anybody could make.
    lifecycle: { preStop: { exec: { command: ['/mcp-proxy', '--drain'] } } },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: 'IfNotPresent',
    restartPolicy: 'Always',
    securityContext: securityContext(settings.runAsUser),
  };
}

function roleArgs(role: SidecarRole): readonly string[] {
  if (role.kind === 'agent') return ['--mode=egress', ...role.servers.map((server) => `--server=${refText(server)}`)];
  const { target } = role;
  return [
    `--server=${refText(target)}`,
    `--upstream=http://127.0.0.1:${target.port}`,
    // The kubelet expands $(NAME) in arguments; $$ stands for one $.
    `--path=${target.path.replaceAll('$', '$$$$')}`,
  ];
}

/** As in arguments and annotations. */
export function refText({ namespace, name }: ServerRef): string {
  return `${namespace}/${name}`;
}

function commonArgs(settings: InjectionSettings): readonly string[] {
  return [`--broker=${settings.brokerUrl}`, `--ca=${caBundlePath}`, `--token=${identityTokenPath}`];
}

function healthCheck(path: string): Fields {
  return { httpGet: { path, port: sidecarPorts.health, scheme: 'HTTP' } };
}

/** Pod Security Standard "restricted". */
function securityContext(runAsUser: number | undefined): Fields {
  return {
    capabilities: { drop: ['ALL'] },
    privileged: false,
    ...(runAsUser === undefined ? {} : { runAsUser, runAsGroup: runAsUser }),
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    seccompProfile: { type: 'RuntimeDefault' },
  };
}

/**
 * Fields that others rightly change after us, brought to the same value before comparing: LimitRanger and autoscalers fill in
 * resources, AlwaysPullImages the pull policy, and service meshes lead HTTP probes through their own agent, which is in the pod too: a probe of another host is not ours.
 */
const tolerated: Readonly<Record<string, (value: unknown) => unknown>> = {
  resources: () => undefined,
  imagePullPolicy: () => undefined,
  startupProbe: withoutHttpTarget,
  readinessProbe: withoutHttpTarget,
};

function withoutHttpTarget(value: unknown): unknown {
  return isFields(value) && isFields(value['httpGet'])
    ? { ...value, httpGet: { host: value['httpGet']['host'] } }
    : value;
}

/** Names of the fields in which a container differs from the one that we would inject; empty when it is ours. */
export function changedFields(found: Fields, expected: Fields): readonly string[] {
  const names = new Set([...Object.keys(found), ...Object.keys(expected)]);
  return [...names]
    .filter((name) => !isDeepStrictEqual(comparable(name, found[name]), comparable(name, expected[name])))
    .sort();
}

function comparable(name: string, value: unknown): unknown {
  const present = value ?? undefined;
  const tolerate = Object.hasOwn(tolerated, name) ? tolerated[name] : undefined;
  return tolerate === undefined ? present : tolerate(present);
}
