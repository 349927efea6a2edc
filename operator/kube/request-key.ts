import type { ObjectRef } from './client.ts';
import type { KubeObject } from './resource.ts';

/** What a work queue holds: where an object is, and never why it is looked at. */
export type RequestKey = ObjectRef;

export function requestKeyOf(object: KubeObject): RequestKey {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? { name } : { namespace, name };
}

/** Kubernetes names hold no slash, so that this can be read back. */
export function formatKey(key: RequestKey): string {
  return key.namespace === undefined ? key.name : `${key.namespace}/${key.name}`;
}

export function parseKey(text: string): RequestKey {
  const slash = text.indexOf('/');
  return slash === -1 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
