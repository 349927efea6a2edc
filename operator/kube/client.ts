import type { KubeObject, ResourceType } from './resource.ts';

/** Where one object is. `namespace` is absent for cluster-scoped types. */
export interface ObjectRef {
  readonly namespace?: string;
  readonly name: string;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Ask for PartialObjectMetadata only. */
  readonly metadataOnly?: boolean;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Typed calls to the API server; every rejection is a `KubeError` (`errors.ts`) with a stable code. */
export interface KubeClient {
  /** Resolves `undefined` on 404. */
  get<T extends KubeObject>(type: ResourceType<T>, ref: ObjectRef, options?: CallOptions): Promise<T | undefined>;
  /** All pages under one resourceVersion. */
  list<T extends KubeObject>(type: ResourceType<T>, options?: ListOptions & CallOptions): Promise<readonly T[]>;
  create<T extends KubeObject>(type: ResourceType<T>, object: NewObject<T>, options?: CallOptions): Promise<T>;
  /** Server-side apply with force; `object` holds exactly the fields that `fieldManager` owns. */
  apply<T extends KubeObject>(type: ResourceType<T>, object: NewObject<T>, options: ApplyOptions): Promise<T>;
  /** JSON merge patch, for finalizers and for writes guarded by `metadata.resourceVersion`. */
  mergePatch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patch: object,
    options?: CallOptions & { readonly subresource?: 'status' },
  ): Promise<T>;
  /** Full replace guarded by `metadata.resourceVersion` (leases, Secrets with optimistic locking). */
  replace<T extends KubeObject>(type: ResourceType<T>, object: T, options?: CallOptions): Promise<T>;
  /**
   * The answer's bytes as they came, for objects that hold bare key material: parsing them would make JS strings, which cannot be
   * wiped. The caller zeroes the buffer. Resolves `undefined` on 404.
   */
  getRaw(type: ResourceType, ref: ObjectRef, options?: CallOptions): Promise<Buffer | undefined>;
  /** As `replace`, body and answer in bytes. Zeroing both stays the caller's duty. */
  replaceRaw(type: ResourceType, ref: ObjectRef, body: Uint8Array, options?: CallOptions): Promise<Buffer>;
  /** Resolves false when the object was gone already. */
  delete(type: ResourceType, ref: ObjectRef, options?: CallOptions & DeleteOptions): Promise<boolean>;
  /** POST of a review (TokenReview, SelfSubjectAccessReview, …) that the server answers and does not keep. */
  review<T extends KubeObject>(type: ResourceType<T>, object: object, options?: CallOptions): Promise<T>;
  close(): Promise<void>;
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string;
  readonly subresource?: 'status';
}

export interface DeleteOptions {
  /** Refuse (409) when the object is another one by now. */
  readonly preconditionUid?: string;
  readonly preconditionResourceVersion?: string;
}

/** What a writer sends: metadata the server fills in is optional. */
export type NewObject<T extends KubeObject> = Omit<T, 'metadata'> & {
  readonly metadata: Partial<T['metadata']> & { readonly name?: string };
};
