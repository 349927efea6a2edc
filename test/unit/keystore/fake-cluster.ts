import type { ApplyOptions, KubeClient, ObjectRef } from '#operator/kube/client.ts';
import { KubeError } from '#operator/kube/errors.ts';
import type { Change, Informer, Store } from '#operator/kube/informer.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

/** Objects with the API server's locking rules, and informers over them that can be held back. */
export class FakeCluster {
  readonly objects = new Map<string, KubeObject>();
  readonly calls: string[] = [];
  #revision = 0;
  readonly #informers: FakeInformer[] = [];
  /** Runs before each call, to stage races and failures. */
  beforeCall: (call: string) => void | Promise<void> = () => {};

  readonly client = {
    get: async (type: ResourceType, ref: ObjectRef) => {
      await this.#called('get', type, ref);
      return this.objects.get(keyOf(type, ref));
    },
    list: async (type: ResourceType, { namespace }: { readonly namespace?: string } = {}) => {
      await this.#called('list', type, {});
      const ofType = [...this.objects].filter(([key]) => key.startsWith(`${type.plural} `)).map(([, object]) => object);
      return ofType.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
    },
    getRaw: async (type: ResourceType, ref: ObjectRef) => {
      await this.#called('getRaw', type, ref);
      const object = this.objects.get(keyOf(type, ref));
      return object === undefined ? undefined : Buffer.from(JSON.stringify(object));
    },
    create: async (type: ResourceType, object: KubeObject) => {
      await this.#called('create', type, object.metadata);
      if (this.objects.has(keyOf(type, object.metadata))) throw new KubeError('AlreadyExists', 'it exists');
      return this.put(type, object);
    },
    replace: async (type: ResourceType, object: KubeObject) => {
      await this.#called('replace', type, object.metadata);
      return this.#replace(type, object);
    },
    replaceRaw: async (type: ResourceType, ref: ObjectRef, body: Uint8Array) => {
      await this.#called('replaceRaw', type, ref);
      return Buffer.from(JSON.stringify(this.#replace(type, JSON.parse(Buffer.from(body).toString()) as KubeObject)));
    },
    apply: async (type: ResourceType, object: KubeObject, options?: Pick<ApplyOptions, 'subresource'>) => {
      await this.#called(options?.subresource === 'status' ? 'applyStatus' : 'apply', type, object.metadata);
      const before = this.objects.get(keyOf(type, object.metadata));
      if (options?.subresource === 'status') return this.#applyStatus(type, object, before);
      return this.put(type, { ...before, ...object, metadata: { ...before?.metadata, ...object.metadata } });
    },
    mergePatch: async (type: ResourceType, ref: ObjectRef, patch: object) => {
      await this.#called('mergePatch', type, ref);
      const before = this.objects.get(keyOf(type, ref));
      if (before === undefined) throw new KubeError('NotFound', 'it is gone');
      return this.put(type, { ...before, ...patch });
    },
    delete: async (type: ResourceType, ref: ObjectRef) => {
      await this.#called('delete', type, ref);
      const object = this.objects.get(keyOf(type, ref));
      if (object === undefined) return false;
      this.objects.delete(keyOf(type, ref));
      for (const informer of this.#informers) informer.take(type, { kind: 'deleted', object });
      return true;
    },
  } as unknown as KubeClient;

  /** Writes without any check, as another writer would. */
  put<T extends KubeObject>(type: ResourceType, object: T): T {
    this.#revision += 1;
    const previous = this.objects.get(keyOf(type, object.metadata));
    const uid = object.metadata.uid ?? previous?.metadata.uid ?? `uid-${this.#revision}`;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(this.#revision) } };
    this.objects.set(keyOf(type, object.metadata), stored);
    const change: Change<KubeObject> =
      previous === undefined ? { kind: 'added', object: stored } : { kind: 'updated', object: stored, previous };
    for (const informer of this.#informers) informer.take(type, change);
    return stored;
  }

  informer<T extends KubeObject>(type: ResourceType<T>): FakeInformer & Informer<T> {
    const informer = new FakeInformer(type);
    this.#informers.push(informer);
    return informer as unknown as FakeInformer & Informer<T>;
  }

  #applyStatus(
    type: ResourceType,
    object: KubeObject & { status?: object },
    before?: KubeObject & { status?: object },
  ) {
    if (before === undefined) throw new KubeError('NotFound', 'it is gone');
    if (before.metadata.uid !== object.metadata.uid) throw new KubeError('Conflict', 'it is another one');
    return this.put(type, { ...before, status: { ...before.status, ...object.status } } as KubeObject);
  }

  #replace(type: ResourceType, object: KubeObject): KubeObject {
    const before = this.objects.get(keyOf(type, object.metadata));
    if (before === undefined) throw new KubeError('NotFound', 'it is gone');
    if (before.metadata.resourceVersion !== object.metadata.resourceVersion) throw new KubeError('Conflict', 'changed');
    return this.put(type, object);
  }

  async #called(verb: string, type: ResourceType, ref: Partial<ObjectRef>): Promise<void> {
    const call = `${verb} ${type.plural}/${ref.name}`;
    this.calls.push(call);
    await this.beforeCall(call);
  }
}

export class FakeInformer {
  readonly #objects = new Map<string, KubeObject>();
  readonly #handlers: ((change: Change<KubeObject>) => void)[] = [];
  readonly #held: Change<KubeObject>[] = [];
  readonly #type: ResourceType;
  #isHeld = false;

  constructor(type: ResourceType) {
    this.#type = type;
  }

  readonly store = {
    get: (namespace: string | undefined, name: string) => this.#objects.get(`${namespace ?? ''}/${name}`),
    list: () => [...this.#objects.values()],
    listNamespace: (namespace: string) =>
      [...this.#objects.values()].filter((one) => one.metadata.namespace === namespace),
  } as unknown as Store<KubeObject>;

  onChange(handler: (change: Change<KubeObject>) => void): void {
    for (const object of this.#objects.values()) handler({ kind: 'added', object });
    this.#handlers.push(handler);
  }

  /** Events wait until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    for (const change of this.#held.splice(0)) this.#tell(change);
  }

  take(type: ResourceType, change: Change<KubeObject>): void {
    if (type.plural !== this.#type.plural) return;
    if (this.#isHeld) this.#held.push(change);
    else this.#tell(change);
  }

  #tell(change: Change<KubeObject>): void {
    const { namespace, name } = change.object.metadata;
    if (change.kind === 'deleted') this.#objects.delete(`${namespace ?? ''}/${name}`);
    else this.#objects.set(`${namespace ?? ''}/${name}`, change.object);
    for (const handler of this.#handlers) handler(change);
  }
}

function keyOf(type: ResourceType, { namespace, name }: Partial<ObjectRef>): string {
  return `${type.plural} ${namespace ?? ''}/${name}`;
}
