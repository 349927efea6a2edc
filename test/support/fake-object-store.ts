import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

/** What the fake API server keeps: objects, one counter of versions, and the history that watches read. */

export type JsonObject = { [key: string]: unknown };

export interface StoredObject extends JsonObject {
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    generation: number;
    creationTimestamp: string;
    deletionTimestamp?: string;
    finalizers?: string[];
    labels?: Record<string, string>;
  } & JsonObject;
}

export interface HistoryEntry {
  readonly version: number;
  readonly collection: string;
  readonly before: StoredObject | undefined;
  readonly after: StoredObject | undefined;
}

/** A refused write, as the API server would answer it. */
export class RefusedWrite extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export interface Place {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string;
}

export function collectionOf(type: Pick<ResourceType, 'group' | 'version' | 'plural'>): string {
  return `${type.group}/${type.version}/${type.plural}`;
}

export class FakeObjectStore {
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  readonly #applied = new Map<string, JsonObject>();
  readonly #onChange: (entry: HistoryEntry) => void;
  #history: HistoryEntry[] = [];
  /** Watches from before this version are told that it expired. */
  #compactedAt = 0;
  #version = 100;
  #uids = 0;

  constructor(onChange: (entry: HistoryEntry) => void) {
    this.#onChange = onChange;
  }

  get version(): number {
    return this.#version;
  }

  get(place: Place): StoredObject | undefined {
    return this.#objects.get(place.collection)?.get(keyOf(place));
  }

  list(collection: string): readonly StoredObject[] {
    return [...(this.#objects.get(collection)?.values() ?? [])];
  }

  /** The state at an older version, for later pages of a listing; `undefined` when it is compacted away. */
  listAt(collection: string, version: number): readonly StoredObject[] | undefined {
    if (version < this.#compactedAt) return undefined;
    const state = new Map(this.#objects.get(collection));
    for (const entry of this.#history
      .filter((one) => one.collection === collection && one.version > version)
      .toReversed()) {
      const some = (entry.before ?? entry.after)!;
      const key = keyOf({ collection, namespace: some.metadata.namespace, name: some.metadata.name });
      if (entry.before === undefined) state.delete(key);
      else state.set(key, entry.before);
    }
    return [...state.values()];
  }

  /** What happened after `version`; `undefined` when that is compacted away. */
  since(collection: string, version: number): readonly HistoryEntry[] | undefined {
    if (version < this.#compactedAt) return undefined;
    return this.#history.filter((entry) => entry.collection === collection && entry.version > version);
  }

  /** As after a restore from a backup: everything after `version` never happened, and its versions are given out again. */
  rewind(version: number): void {
    for (const collection of this.#objects.keys()) {
      const objects = this.listAt(collection, version) ?? [];
      const entries = objects.map((object) => {
        const { namespace, name } = object.metadata;
        return [keyOf({ collection, namespace, name }), object] as const;
      });
      this.#objects.set(collection, new Map(entries));
    }
    this.#history = this.#history.filter((entry) => entry.version <= version);
    this.#version = version;
  }

  compact(): void {
    this.#version += 1;
    this.#compactedAt = this.#version;
    this.#history = [];
  }

  create(place: Omit<Place, 'name'>, body: JsonObject): StoredObject {
    const sent = metadataOf(body);
    const generated =
      typeof sent['generateName'] === 'string' ? `${sent['generateName']}${(this.#uids + 1).toString(36)}` : '';
    const name = typeof sent['name'] === 'string' ? sent['name'] : generated;
    const target = { ...place, name };
    if (this.get(target) !== undefined) throw new RefusedWrite(409, 'AlreadyExists', `${name} already exists`);
    const fixed = {
      ...(place.namespace === undefined ? {} : { namespace: place.namespace }),
      name,
      uid: `uid-${(this.#uids += 1)}`,
      resourceVersion: '',
      generation: 1,
      creationTimestamp: new Date().toISOString(),
    };
    return this.#commit(target, { ...body, metadata: { ...sent, ...fixed } });
  }

  /** Whole new content; `status` stays as it is unless it is the subresource that is written. */
  replace(place: Place, body: JsonObject, subresource: string | undefined): StoredObject {
    const current = this.#required(place);
    this.#guard(current, body);
    if (subresource === 'status') return this.#commit(place, { ...current, status: body['status'] });
    const kept = current['status'] === undefined ? {} : { status: current['status'] };
    return this.#commit(place, this.#withServerFields({ ...body, ...kept }, current));
  }

  mergePatch(place: Place, patch: JsonObject, subresource: string | undefined): StoredObject {
    const current = this.#required(place);
    this.#guard(current, patch);
    return this.replace(place, { ...(mergeJson(current, patch) as JsonObject) }, subresource);
  }

  /** The subset of server-side apply that matters: fields merge, and what this manager applied before and now leaves out goes. */
  apply(
    place: Place,
    body: JsonObject,
    options: { readonly manager: string; readonly subresource?: string },
  ): StoredObject {
    const record = `${place.collection}|${keyOf(place)}|${options.manager}|${options.subresource ?? ''}`;
    const current = this.get(place);
    const last = this.#applied.get(record);
    this.#applied.set(record, body);
    if (current === undefined) {
      if (options.subresource !== undefined) throw new RefusedWrite(404, 'NotFound', `${place.name} not found`);
      return this.create(place, body);
    }
    const pruned = last === undefined ? current : withoutMissing(current, last, body);
    return this.replace(place, mergeJson(pruned, omitVersion(body)) as JsonObject, options.subresource);
  }

  remove(place: Place, preconditions: { readonly uid?: string; readonly resourceVersion?: string } = {}): StoredObject {
    const current = this.#required(place);
    if (preconditions.uid !== undefined && preconditions.uid !== current.metadata.uid) {
      throw new RefusedWrite(409, 'Conflict', 'the UID in the precondition does not match');
    }
    if (
      preconditions.resourceVersion !== undefined &&
      preconditions.resourceVersion !== current.metadata.resourceVersion
    ) {
      throw new RefusedWrite(409, 'Conflict', 'the resourceVersion in the precondition does not match');
    }
    if ((current.metadata.finalizers ?? []).length === 0) return this.#drop(place, current);
    if (current.metadata.deletionTimestamp !== undefined) return current;
    const metadata = { ...current.metadata, deletionTimestamp: new Date().toISOString() };
    return this.#commit(place, { ...current, metadata });
  }

  #withServerFields(body: JsonObject, current: StoredObject): StoredObject {
    const { name, namespace, uid, creationTimestamp, deletionTimestamp, generation } = current.metadata;
    const fixed = { name, namespace, uid, creationTimestamp, deletionTimestamp, resourceVersion: '' };
    const changed = JSON.stringify(body['spec']) !== JSON.stringify(current['spec']);
    return JSON.parse(
      JSON.stringify({
        ...body,
        metadata: { ...metadataOf(body), ...fixed, generation: changed ? generation + 1 : generation },
      }),
    ) as StoredObject;
  }

  #commit(place: Place, object: StoredObject): StoredObject {
    const before = this.get(place);
    const finalizers = object.metadata.finalizers ?? [];
    if (object.metadata.deletionTimestamp !== undefined && finalizers.length === 0) return this.#drop(place, object);
    if (before !== undefined && sameContent(before, object)) return before;
    this.#version += 1;
    const after = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    let collection = this.#objects.get(place.collection);
    if (collection === undefined) this.#objects.set(place.collection, (collection = new Map()));
    collection.set(keyOf(place), after);
    this.#record({ version: this.#version, collection: place.collection, before, after });
    return after;
  }

  #drop(place: Place, object: StoredObject): StoredObject {
    const before = this.#required(place);
    this.#objects.get(place.collection)?.delete(keyOf(place));
    this.#version += 1;
    this.#record({ version: this.#version, collection: place.collection, before, after: undefined });
    return object;
  }

  #record(entry: HistoryEntry): void {
    this.#history.push(entry);
    this.#onChange(entry);
  }

  #required(place: Place): StoredObject {
    const object = this.get(place);
    if (object === undefined) throw new RefusedWrite(404, 'NotFound', `${place.name} not found`);
    return object;
  }

  #guard(current: StoredObject, body: JsonObject): void {
    const expected = metadataOf(body)['resourceVersion'];
    if (typeof expected === 'string' && expected !== '' && expected !== current.metadata.resourceVersion) {
      throw new RefusedWrite(
        409,
        'Conflict',
        'the object has been modified; please apply your changes to the latest version',
      );
    }
  }
}

/** A full object as tests write it. */
export function bodyOf(object: KubeObject): JsonObject {
  return JSON.parse(JSON.stringify(object)) as JsonObject;
}

function keyOf(place: Place): string {
  return `${place.namespace ?? ''}/${place.name}`;
}

function metadataOf(body: JsonObject): JsonObject {
  return (body['metadata'] ?? {}) as JsonObject;
}

function omitVersion(body: JsonObject): JsonObject {
  return { ...body, metadata: { ...metadataOf(body), resourceVersion: undefined } };
}

function sameContent(a: StoredObject, b: StoredObject): boolean {
  const bare = (object: StoredObject): string =>
    JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: '' } });
  return bare(a) === bare(b);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7396. */
function mergeJson(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = mergeJson(result[key], value);
  }
  return result;
}

function withoutMissing(current: JsonObject, last: JsonObject, next: JsonObject): JsonObject {
  const result: JsonObject = { ...current };
  for (const [key, value] of Object.entries(last)) {
    const [now, then] = [result[key], next[key]];
    if (then === undefined) delete result[key];
    else if (isObject(value) && isObject(now) && isObject(then)) result[key] = withoutMissing(now, value, then);
  }
  return result;
}
