import type { Change, Informer } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** An informer that a test fills by hand. */
export class FakeInformer<T extends KubeObject> implements Informer<T> {
  readonly hasSynced = true;
  readonly #objects = new Map<string, T>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];

  constructor(objects: readonly T[] = []) {
    for (const object of objects) this.set(object);
  }

  readonly store = {
    get: (namespace: string | undefined, name: string): T | undefined => this.#objects.get(`${namespace}/${name}`),
    getByUid: (uid: string): T | undefined => this.store.list().find(({ metadata }) => metadata.uid === uid),
    list: (): readonly T[] => [...this.#objects.values()],
    listNamespace: (namespace: string): readonly T[] =>
      this.store.list().filter(({ metadata }) => metadata.namespace === namespace),
    size: 0,
  };

  set(object: T): void {
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    const previous = this.#objects.get(key);
    this.#objects.set(key, object);
    this.#tell(previous === undefined ? { kind: 'added', object } : { kind: 'updated', object, previous });
  }

  remove(object: T): void {
    this.#objects.delete(`${object.metadata.namespace}/${object.metadata.name}`);
    this.#tell({ kind: 'deleted', object });
  }

  onChange(handler: (change: Change<T>) => void): void {
    for (const object of this.store.list()) handler({ kind: 'added', object });
    this.#handlers.push(handler);
  }

  distrust(): void {}

  start(): void {}

  async synced(): Promise<void> {}

  async close(): Promise<void> {}

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) handler(change);
  }
}
