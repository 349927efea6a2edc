import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  KubeClient,
  ListOptions,
  NewObject,
  ObjectRef,
} from './client.ts';
import { isKubeError } from './errors.ts';
import { listPages } from './list-pages.ts';
import {
  collectionPath,
  describeCall,
  type KubeRequest,
  mediaTypes,
  type Method,
  objectPath,
  withQuery,
} from './request.ts';
import { apiVersionOf, type KubeObject, type ResourceType } from './resource.ts';
import { parseJson } from './response-body.ts';
import type { Transport } from './transport.ts';

export interface KubeClientOptions {
  readonly transport: Transport;
  /**
   * Asked before every attempt of every call that changes something (reviews do not); throws when this replica must not write any
   * more. `LeaderLease.assertLeader` is one.
   */
  readonly fence?: () => void;
}

/** Longest fieldManager that the server takes. */
export const fieldManagerCharsMax = 128;

export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new ApiClient(options.transport, options.fence);
}

interface Call {
  readonly verb: string;
  readonly type: ResourceType;
  readonly ref: Partial<ObjectRef>;
  readonly method: Method;
  readonly path: string;
  readonly contentType?: string;
  readonly body?: string | Uint8Array;
}

class ApiClient implements KubeClient {
  readonly #transport: Transport;
  readonly #fence: (() => void) | undefined;

  constructor(transport: Transport, fence: (() => void) | undefined) {
    this.#transport = transport;
    this.#fence = fence;
  }

  async get<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    options?: CallOptions,
  ): Promise<T | undefined> {
    const bytes = await this.getRaw(type, ref, options);
    return bytes === undefined ? undefined : parseJson<T>(bytes, describeCall('get', type, ref));
  }

  async list<T extends KubeObject>(
    type: ResourceType<T>,
    options: ListOptions & CallOptions = {},
  ): Promise<readonly T[]> {
    const listing = await this.#listAgain(type, options);
    return listing.items;
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: NewObject<T>, options?: CallOptions): Promise<T> {
    const ref = refOf(object);
    const path = collectionPath(type, ref.namespace);
    return this.#write<T>({ verb: 'create', type, ref, method: 'POST', path, ...jsonBody(type, object) }, options);
  }

  apply<T extends KubeObject>(type: ResourceType<T>, object: NewObject<T>, options: ApplyOptions): Promise<T> {
    if (options.fieldManager.length > fieldManagerCharsMax) throw new TypeError('fieldManager is too long');
    const ref = namedRefOf(object);
    const query = { fieldManager: options.fieldManager, force: 'true' };
    const path = withQuery(objectPath(type, ref, options.subresource), query);
    const body = { ...jsonBody(type, object), contentType: mediaTypes.apply };
    return this.#write<T>({ verb: 'apply', type, ref, method: 'PATCH', path, ...body }, options);
  }

  // oxlint-disable-next-line max-params -- type and place come first in every call of the interface
  mergePatch<T extends KubeObject>(
    type: ResourceType<T>,
    ref: ObjectRef,
    patch: object,
    options?: CallOptions & { readonly subresource?: 'status' },
  ): Promise<T> {
    const path = objectPath(type, ref, options?.subresource);
    const body = { body: JSON.stringify(patch), contentType: mediaTypes.mergePatch };
    return this.#write<T>({ verb: 'patch', type, ref, method: 'PATCH', path, ...body }, options);
  }

  replace<T extends KubeObject>(type: ResourceType<T>, object: T, options?: CallOptions): Promise<T> {
    const ref = namedRefOf(object);
    const call = { verb: 'replace', type, ref, method: 'PUT', path: objectPath(type, ref) } as const;
    return this.#write<T>({ ...call, ...jsonBody(type, object) }, options);
  }

  async getRaw(type: ResourceType, ref: ObjectRef, options?: CallOptions): Promise<Buffer | undefined> {
    try {
      return await this.#send({ verb: 'get', type, ref, method: 'GET', path: objectPath(type, ref) }, options);
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  // oxlint-disable-next-line max-params -- as above
  replaceRaw(type: ResourceType, ref: ObjectRef, body: Uint8Array, options?: CallOptions): Promise<Buffer> {
    const call = { verb: 'replace', type, ref, method: 'PUT', path: objectPath(type, ref) } as const;
    return this.#send({ ...call, body, contentType: mediaTypes.json }, options, this.#fence);
  }

  async delete(type: ResourceType, ref: ObjectRef, options?: CallOptions & DeleteOptions): Promise<boolean> {
    const call = { verb: 'delete', type, ref, method: 'DELETE', path: objectPath(type, ref) } as const;
    const body = { body: JSON.stringify(deleteBody(options)), contentType: mediaTypes.json };
    try {
      await this.#send({ ...call, ...body }, options, this.#fence);
      return true;
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return false;
      throw error;
    }
  }

  async review<T extends KubeObject>(type: ResourceType<T>, object: object, options?: CallOptions): Promise<T> {
    const path = collectionPath(type, undefined);
    const call = { verb: 'create', type, ref: {}, method: 'POST', path, ...jsonBody(type, object) } as const;
    return parseJson<T>(await this.#send(call, options), describeCall('create', type));
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** A continue token that expired half-way is rare, and a second full listing is what the server asks for. */
  async #listAgain<T extends KubeObject>(type: ResourceType<T>, options: ListOptions & CallOptions) {
    try {
      return await listPages(this.#transport, type, options);
    } catch (error) {
      if (isKubeError(error, 'Gone')) return await listPages(this.#transport, type, options);
      throw error;
    }
  }

  async #write<T extends KubeObject>(call: Call, options: CallOptions | undefined): Promise<T> {
    const bytes = await this.#send(call, options, this.#fence);
    return parseJson<T>(bytes, describeCall(call.verb, call.type, call.ref));
  }

  #send(call: Call, options: CallOptions | undefined, fence?: () => void): Promise<Buffer> {
    const request: KubeRequest = {
      what: describeCall(call.verb, call.type, call.ref),
      type: call.type,
      method: call.method,
      path: call.path,
      accept: mediaTypes.json,
      ...(call.contentType === undefined ? {} : { contentType: call.contentType }),
      ...(call.body === undefined ? {} : { body: call.body }),
      ...(options?.signal === undefined ? {} : { signal: options.signal }),
      ...(fence === undefined ? {} : { beforeSend: fence }),
    };
    return this.#transport.request(request);
  }
}

function jsonBody(type: ResourceType, object: object): { readonly body: string; readonly contentType: string } {
  const typed = { ...object, apiVersion: apiVersionOf(type), kind: type.kind };
  return { body: JSON.stringify(typed), contentType: mediaTypes.json };
}

function deleteBody(options: DeleteOptions | undefined): object {
  const preconditions = { uid: options?.preconditionUid, resourceVersion: options?.preconditionResourceVersion };
  return { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions };
}

function refOf<T extends KubeObject>(object: NewObject<T>): Partial<ObjectRef> {
  const { namespace, name } = object.metadata;
  return { ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) };
}

function namedRefOf<T extends KubeObject>(object: NewObject<T>): ObjectRef {
  const { name, ...rest } = refOf(object);
  if (name === undefined) throw new TypeError('the object has no name');
  return { ...rest, name };
}
