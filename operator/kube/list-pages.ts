import type { ListOptions } from './client.ts';
import { KubeError } from './errors.ts';
import { collectionPath, describeCall, mediaTypes, selectorsOf, withQuery } from './request.ts';
import { apiVersionOf, type KubeObject, type ResourceType } from './resource.ts';
import { parseJson } from './response-body.ts';
import type { Transport } from './transport.ts';

/** Objects in one page, as client-go asks. */
export const pageSize = 500;
/** 2 million objects; a server that never stops giving continue tokens must not hold us for ever. */
export const pagesMax = 4000;

export interface Listing<T extends KubeObject> {
  readonly items: readonly T[];
  /** The state that all pages show, and where a watch goes on. */
  readonly resourceVersion: string;
}

interface ListBody<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

/**
 * All pages under one resourceVersion (the continue token carries it).
 *
 * @throws KubeError `Gone` when the token expired between two pages: the listing is to be started again.
 */
export async function listPages<T extends KubeObject>(
  transport: Transport,
  type: ResourceType<T>,
  options: ListOptions & { readonly signal?: AbortSignal; readonly transform?: (object: T) => T },
): Promise<Listing<T>> {
  const items: T[] = [];
  let resourceVersion: string | undefined;
  let token: string | undefined;
  for (let page = 0; page < pagesMax; page += 1) {
    const body = await listPage(transport, type, { ...options, token });
    for (const item of body.items ?? []) items.push(adopt(item, type, options));
    resourceVersion ??= body.metadata?.resourceVersion;
    token = body.metadata?.continue;
    if (token === undefined || token === '') return { items, resourceVersion: requireVersion(resourceVersion, type) };
  }
  throw new KubeError('BadResponse', `list ${type.plural}: more than ${pagesMax} pages`);
}

/** The state that the server is in now, told by a consistent read of at most one object. */
export async function currentVersion(
  transport: Transport,
  type: ResourceType,
  options: ListOptions & { readonly signal?: AbortSignal },
): Promise<string> {
  const { metadata } = await listPage(transport, type, { ...options, metadataOnly: true, limit: 1, token: undefined });
  return requireVersion(metadata?.resourceVersion, type);
}

interface PageOptions extends ListOptions {
  readonly signal?: AbortSignal;
  readonly limit?: number;
  readonly token: string | undefined;
}

async function listPage<T extends KubeObject>(
  transport: Transport,
  type: ResourceType<T>,
  options: PageOptions,
): Promise<ListBody<T>> {
  const what = describeCall('list', type, options.namespace === undefined ? {} : { namespace: options.namespace });
  const path = withQuery(collectionPath(type, options.namespace), {
    ...selectorsOf(options),
    limit: String(options.limit ?? pageSize),
    continue: options.token,
  });
  const accept = options.metadataOnly === true ? mediaTypes.metadataList : mediaTypes.json;
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const bytes = await transport.request({ what, type, method: 'GET', path, accept, bulk: true, ...signal });
  return parseJson<ListBody<T>>(bytes, what);
}

/** Items of a list carry neither apiVersion nor kind. */
function adopt<T extends KubeObject>(
  item: T,
  type: ResourceType<T>,
  options: ListOptions & { readonly transform?: (object: T) => T },
): T {
  const object = options.metadataOnly === true ? item : { ...item, apiVersion: apiVersionOf(type), kind: type.kind };
  return options.transform === undefined ? object : options.transform(object);
}

function requireVersion(resourceVersion: string | undefined, type: ResourceType): string {
  if (resourceVersion !== undefined && resourceVersion !== '') return resourceVersion;
  throw new KubeError('BadResponse', `list ${type.plural}: no resourceVersion in the answer`);
}
