import { isDeepStrictEqual } from 'node:util';

import { KubeError } from './errors.ts';
import type { Change, Store } from './informer.ts';
import type { KubeObject } from './resource.ts';
import { compareResourceVersions } from './resource-version.ts';

/** Deleted objects whose last version is remembered, so that a late event cannot bring them back. */
export const tombstonesMax = 10_000;

const clusterScope = '';

/**
 * The last known state of every object, by place and by UID. An object that was deleted and made again under the same name is another
 * object: its changes are `deleted`, then `added`.
 */
export class ObjectStore<T extends KubeObject> implements Store<T> {
  #byNamespace = new Map<string, Map<string, T>>();
  #byUid = new Map<string, T>();
  readonly #tombstones = new Map<string, string>();

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#byNamespace.get(namespace ?? clusterScope)?.get(name);
  }

  getByUid(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  list(): readonly T[] {
    return [...this.#byUid.values()];
  }

  listNamespace(namespace: string): readonly T[] {
    return [...(this.#byNamespace.get(namespace)?.values() ?? [])];
  }

  get size(): number {
    return this.#byUid.size;
  }

  /** Swaps the whole content in one step and tells what that changed, deletions first. */
  replaceAll(objects: readonly T[]): readonly Change<T>[] {
    const previous = this.#byUid;
    this.#byNamespace = new Map();
    this.#byUid = new Map();
    this.#tombstones.clear();
    for (const object of objects) this.#put(unchanged(previous.get(uidOf(object)), object));
    const deleted = [...previous.values()].filter((object) => !this.#byUid.has(uidOf(object)));
    return [
      ...deleted.map((object): Change<T> => ({ kind: 'deleted', object })),
      ...this.list().flatMap((object) => changeOf(previous.get(uidOf(object)), object)),
    ];
  }

  /** An `ADDED` or `MODIFIED` event. Empty when it is older than what is known. */
  upsert(object: T): readonly Change<T>[] {
    const uid = uidOf(object);
    const buried = this.#tombstones.get(uid);
    if (buried !== undefined && (versionOf(object) === buried || isOlder(object, buried))) return [];
    const namesake = this.get(object.metadata.namespace, object.metadata.name);
    if (namesake !== undefined && isOlder(object, versionOf(namesake))) return [];
    const gone = namesake !== undefined && uidOf(namesake) !== uid ? this.#bury(namesake, versionOf(object)) : [];
    const known = this.#byUid.get(uid);
    if (known !== undefined && versionOf(known) === versionOf(object)) return gone;
    this.#put(object);
    return [...gone, ...changeOf(known, object)];
  }

  /** A `DELETED` event. Empty when that object is not known, or is known to be newer. */
  remove(object: T): readonly Change<T>[] {
    const known = this.#byUid.get(uidOf(object));
    if (known === undefined) {
      this.#remember(uidOf(object), versionOf(object));
      return [];
    }
    if (isOlder(object, versionOf(known))) return [];
    this.#bury(known, versionOf(object));
    return [{ kind: 'deleted', object }];
  }

  #put(object: T): void {
    const namespace = object.metadata.namespace ?? clusterScope;
    let byName = this.#byNamespace.get(namespace);
    if (byName === undefined) this.#byNamespace.set(namespace, (byName = new Map()));
    byName.set(object.metadata.name, object);
    this.#byUid.set(uidOf(object), object);
  }

  #bury(object: T, resourceVersion: string | undefined): readonly Change<T>[] {
    const namespace = object.metadata.namespace ?? clusterScope;
    const byName = this.#byNamespace.get(namespace);
    byName?.delete(object.metadata.name);
    if (byName?.size === 0) this.#byNamespace.delete(namespace);
    this.#byUid.delete(uidOf(object));
    this.#remember(uidOf(object), resourceVersion);
    return [{ kind: 'deleted', object }];
  }

  #remember(uid: string, resourceVersion: string | undefined): void {
    if (resourceVersion === undefined) return;
    const buried = this.#tombstones.get(uid);
    if (buried !== undefined && compareResourceVersions(resourceVersion, buried) < 0) return;
    this.#tombstones.delete(uid);
    this.#tombstones.set(uid, resourceVersion);
    const oldest = this.#tombstones.keys().next();
    if (this.#tombstones.size > tombstonesMax && oldest.done !== true) this.#tombstones.delete(oldest.value);
  }
}

/**
 * What is known already stays the same value, so that handlers can compare by identity. The version alone does not decide: a server
 * that was restored from a backup gives out the same versions again.
 */
function unchanged<T extends KubeObject>(previous: T | undefined, object: T): T {
  return previous !== undefined && isDeepStrictEqual(previous, object) ? previous : object;
}

function changeOf<T extends KubeObject>(previous: T | undefined, object: T): readonly Change<T>[] {
  if (previous === undefined) return [{ kind: 'added', object }];
  return previous === object ? [] : [{ kind: 'updated', object, previous }];
}

function isOlder(object: KubeObject, resourceVersion: string | undefined): boolean {
  return compareResourceVersions(versionOf(object), resourceVersion) < 0;
}

function versionOf(object: KubeObject): string | undefined {
  return object.metadata.resourceVersion;
}

function uidOf(object: KubeObject): string {
  if (object.metadata.uid === undefined)
    throw new KubeError('BadResponse', 'the API server sent an object without uid');
  return object.metadata.uid;
}
