import { flagAt, listAt, numberAt, objectAt, requiredObject, requiredText, textAt, textMapAt } from '../fields.ts';
import type { Fields } from '../fields.ts';

/** What the injector reads of a pod, taken once from the untrusted object. `raw` is for comparing only. */
export interface PodView {
  /** `undefined`: the pod has no such map or list yet, so a patch has to make it. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  readonly initContainers: readonly ContainerView[] | undefined;
  readonly volumes: readonly VolumeView[] | undefined;
  readonly containers: readonly ContainerView[];
  readonly hostNetwork: boolean;
  readonly hostPID: boolean;
  readonly hostIPC: boolean;
  readonly shareProcessNamespace: boolean;
  readonly operatingSystem: string | undefined;
}

export interface ContainerView {
  readonly name: string;
  /** `undefined`: it has no list of variables yet, so a patch has to make it. */
  readonly environment: readonly VariableView[] | undefined;
  readonly ports: readonly number[];
  /** Names of the volumes it mounts, as file system or as block device. */
  readonly volumeNames: readonly string[];
  /** Also as a host process of Windows. */
  readonly isPrivileged: boolean;
  readonly addedCapabilities: readonly string[];
  readonly procMount: string | undefined;
  /** Of an init container: it goes on running beside the application. */
  readonly isRestarted: boolean;
  readonly raw: Fields;
}

export interface VariableView {
  readonly name: string;
  /** `undefined`: it is empty, or comes from elsewhere. */
  readonly value: string | undefined;
}

export interface VolumeView {
  readonly name: string;
  /** Audiences of the ServiceAccount tokens projected into it. */
  readonly audiences: readonly string[];
  readonly isHostPath: boolean;
  readonly raw: Fields;
}

/** @throws {FieldError} when the object is not shaped like a pod. */
export function parsePod(object: unknown): PodView {
  const pod = requiredObject(object, 'object');
  const metadata = objectAt(pod['metadata'], 'metadata') ?? {};
  const spec = requiredObject(pod['spec'], 'spec');
  return {
    labels: textMapAt(metadata['labels'], 'metadata.labels'),
    annotations: textMapAt(metadata['annotations'], 'metadata.annotations'),
    initContainers: optionalList(spec['initContainers'], 'spec.initContainers', parseContainer),
    volumes: optionalList(spec['volumes'], 'spec.volumes', parseVolume),
    containers: listAt(spec['containers'], 'spec.containers').map(parseContainer),
    hostNetwork: flagAt(spec['hostNetwork'], 'spec.hostNetwork'),
    hostPID: flagAt(spec['hostPID'], 'spec.hostPID'),
    hostIPC: flagAt(spec['hostIPC'], 'spec.hostIPC'),
    shareProcessNamespace: flagAt(spec['shareProcessNamespace'], 'spec.shareProcessNamespace'),
    operatingSystem: operatingSystemOf(spec),
  };
}

function optionalList<T>(value: unknown, path: string, parse: (item: unknown) => T): readonly T[] | undefined {
  return value === undefined || value === null ? undefined : listAt(value, path).map(parse);
}

function parseContainer(value: unknown): ContainerView {
  const raw = requiredObject(value, 'container');
  const mounts = [...listAt(raw['volumeMounts'], 'volumeMounts'), ...listAt(raw['volumeDevices'], 'volumeDevices')];
  return {
    name: requiredText(raw['name'], 'container name'),
    environment: optionalList(raw['env'], 'env', parseVariable),
    ports: listAt(raw['ports'], 'ports').map(
      (port) => numberAt(objectAt(port, 'port')?.['containerPort'], 'port') ?? 0,
    ),
    volumeNames: mounts.map((mount) => textAt(objectAt(mount, 'mount')?.['name'], 'mount name') ?? ''),
    isRestarted: textAt(raw['restartPolicy'], 'restartPolicy') === 'Always',
    ...parsePrivileges(objectAt(raw['securityContext'], 'securityContext') ?? {}),
    raw,
  };
}

function parseVariable(value: unknown): VariableView {
  const variable = requiredObject(value, 'variable');
  return {
    name: requiredText(variable['name'], 'variable name'),
    value: textAt(variable['value'], 'variable value'),
  };
}

function parsePrivileges(
  securityContext: Fields,
): Pick<ContainerView, 'isPrivileged' | 'addedCapabilities' | 'procMount'> {
  const windows = objectAt(securityContext['windowsOptions'], 'windowsOptions');
  const capabilities = objectAt(securityContext['capabilities'], 'capabilities');
  return {
    isPrivileged:
      flagAt(securityContext['privileged'], 'privileged') || flagAt(windows?.['hostProcess'], 'hostProcess'),
    addedCapabilities: listAt(capabilities?.['add'], 'capabilities.add').map(
      (name) => textAt(name, 'capability') ?? '',
    ),
    procMount: textAt(securityContext['procMount'], 'procMount'),
  };
}

function parseVolume(value: unknown): VolumeView {
  const raw = requiredObject(value, 'volume');
  const sources = listAt(objectAt(raw['projected'], 'projected')?.['sources'], 'sources');
  return {
    name: requiredText(raw['name'], 'volume name'),
    audiences: sources.flatMap((source) => {
      const token = objectAt(objectAt(source, 'source')?.['serviceAccountToken'], 'serviceAccountToken');
      return textAt(token?.['audience'], 'audience') ?? [];
    }),
    isHostPath: objectAt(raw['hostPath'], 'hostPath') !== undefined,
    raw,
  };
}

function operatingSystemOf(spec: Fields): string | undefined {
  const declared = textAt(objectAt(spec['os'], 'spec.os')?.['name'], 'spec.os.name');
  if (declared !== undefined) return declared;
  return textMapAt(spec['nodeSelector'], 'spec.nodeSelector')?.['kubernetes.io/os'];
}
