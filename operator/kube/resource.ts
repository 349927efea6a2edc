/** Kubernetes object shapes that the runtime needs, and the table of resource types the operator touches. */
import type { ObjectMeta } from '#crds/v1alpha1/object.ts';

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

/** One REST resource. `T` is the shape of its objects. */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Type carrier only; never set. */
  readonly shape?: T;
}

/** `group/version`, or `version` in the core group. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}
