import type { Change, Informer, Store } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** An informer whose cache the test writes. */
export interface MemorySource<T extends KubeObject> extends Pick<Informer<T>, 'onChange'> {
  readonly store: Store<T>;
  put(object: T): void;
  remove(object: T): void;
}

export function memorySource<T extends KubeObject>(initial: readonly T[] = []): MemorySource<T> {
  const objects = new Map<string, T>();
  const handlers: ((change: Change<T>) => void)[] = [];
  const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;
  const tell = (change: Change<T>): void => handlers.forEach((handler) => handler(change));
  for (const object of initial) objects.set(keyOf(object.metadata.namespace, object.metadata.name), object);
  return {
    store: {
      get: (namespace, name) => objects.get(keyOf(namespace, name)),
      getByUid: (uid) => [...objects.values()].find((object) => object.metadata.uid === uid),
      list: () => [...objects.values()],
      listNamespace: (namespace) => [...objects.values()].filter((object) => object.metadata.namespace === namespace),
      get size() {
        return objects.size;
      },
    },
    onChange(handler) {
      handlers.push(handler);
      for (const object of objects.values()) handler({ kind: 'added', object });
    },
    put(object) {
      const key = keyOf(object.metadata.namespace, object.metadata.name);
      const previous = objects.get(key);
      objects.set(key, object);
      tell(previous === undefined ? { kind: 'added', object } : { kind: 'updated', object, previous });
    },
    remove(object) {
      if (objects.delete(keyOf(object.metadata.namespace, object.metadata.name))) tell({ kind: 'deleted', object });
    },
  };
}
