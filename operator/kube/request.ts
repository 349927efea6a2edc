import type { ListOptions, ObjectRef } from './client.ts';
import type { ResourceType } from './resource.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One call, ready to be sent. */
export interface KubeRequest {
  /** Names the call in errors: `describeCall`. */
  readonly what: string;
  readonly method: Method;
  /** Path and query. */
  readonly path: string;
  readonly type: ResourceType;
  readonly accept: string;
  readonly contentType?: string;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
  /** A page of a listing: few run at once, so that starting does not open a socket for every informer. */
  readonly bulk?: boolean;
  /** Runs right before each attempt goes out; what it throws is the result and nothing is sent. */
  readonly beforeSend?: () => void;
}

export const mediaTypes = {
  json: 'application/json',
  metadata: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
  metadataList: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
  /** The body is JSON, which is YAML: sending it needs no YAML writer. */
  apply: 'application/apply-patch+yaml',
  mergePatch: 'application/merge-patch+json',
} as const;

/** `get configmaps kube-system/x`: names the call in errors, without query. */
export function describeCall(verb: string, type: ResourceType, ref?: Partial<ObjectRef>): string {
  const place = [ref?.namespace, ref?.name].filter((part) => part !== undefined).join('/');
  return place === '' ? `${verb} ${type.plural}` : `${verb} ${type.plural} ${place}`;
}

export function collectionPath(type: ResourceType, namespace: string | undefined): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${segment(type.group)}/${segment(type.version)}`;
  const scope = namespace === undefined || !type.namespaced ? '' : `/namespaces/${segment(namespace)}`;
  return `${root}${scope}/${segment(type.plural)}`;
}

export function objectPath(type: ResourceType, ref: ObjectRef, subresource?: string): string {
  if (type.namespaced && ref.namespace === undefined) throw new TypeError(`${type.plural} needs a namespace`);
  const path = `${collectionPath(type, ref.namespace)}/${segment(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

export function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined);
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs).toString()}`;
}

export function selectorsOf(options: ListOptions): Readonly<Record<string, string | undefined>> {
  return { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
}

/** A name comes from a user: it must not be able to leave its place in the path. */
function segment(part: string): string {
  if (part === '' || part === '.' || part === '..')
    throw new TypeError('empty or relative path segment in a Kubernetes call');
  return encodeURIComponent(part);
}
