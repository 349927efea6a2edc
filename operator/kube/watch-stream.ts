import type { Readable } from 'node:stream';

import { linkAbort } from './abort-link.ts';
import type { ListOptions } from './client.ts';
import type { Clock } from './clock.ts';
import { errorOfStatus, KubeError, type StatusBody } from './errors.ts';
import { LineSplitter } from './line-splitter.ts';
import { collectionPath, describeCall, mediaTypes, selectorsOf, withQuery } from './request.ts';
import type { KubeObject, ResourceType } from './resource.ts';
import { parseJson } from './response-body.ts';
import { kubeErrorOf, type Transport } from './transport.ts';

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string | undefined };

export interface WatchRequest<T extends KubeObject> {
  readonly type: ResourceType<T>;
  readonly options: ListOptions;
  readonly resourceVersion: string;
  /** How long the server keeps the watch open. */
  readonly timeoutSeconds: number;
  /** The stream counts as dead after this long without a byte. */
  readonly idleMsMax: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

interface RawEvent<T> {
  readonly type?: string;
  readonly object?: T & StatusBody;
}

/**
 * The events of one watch in their order, until the server ends it at an event boundary.
 *
 * @throws KubeError `Gone` when `resourceVersion` expired, `Timeout` on silence, anything else when the stream broke.
 */
export async function* watchEvents<T extends KubeObject>(
  transport: Transport,
  request: WatchRequest<T>,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const what = describeCall('watch', request.type, placeOf(request.options));
  const silence = new AbortController();
  using link = linkAbort(request.signal, silence.signal);
  const watchdog = startWatchdog(request, () =>
    silence.abort(new KubeError('Timeout', `${what}: silent for too long`)),
  );
  const splitter = new LineSplitter();
  let body: Readable | undefined;
  try {
    body = await transport.stream({
      what,
      type: request.type,
      method: 'GET',
      path: watchPath(request),
      accept: request.options.metadataOnly === true ? mediaTypes.metadata : mediaTypes.json,
      signal: link.signal,
    });
    for await (const piece of body as AsyncIterable<Buffer>) {
      watchdog.fed();
      for (const line of splitter.push(piece)) yield parseEvent(line, request.type, what);
    }
    if (splitter.heldBytes > 0) throw new KubeError('Unavailable', `${what}: the stream ended inside an event`);
  } catch (error) {
    throw kubeErrorOf(error, { what }, link.signal);
  } finally {
    watchdog.stop();
    body?.destroy();
  }
}

function watchPath(request: WatchRequest<KubeObject>): string {
  return withQuery(collectionPath(request.type, request.options.namespace), {
    ...selectorsOf(request.options),
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: request.resourceVersion,
    timeoutSeconds: String(request.timeoutSeconds),
  });
}

function placeOf(options: ListOptions): { readonly namespace?: string } {
  return options.namespace === undefined ? {} : { namespace: options.namespace };
}

function parseEvent<T extends KubeObject>(line: Buffer, type: ResourceType<T>, what: string): WatchEvent<T> {
  const { type: kind, object } = parseJson<RawEvent<T>>(line, what);
  if (object === undefined) throw new KubeError('BadResponse', `${what}: an event without object`);
  switch (kind) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: kind, object };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: object.metadata.resourceVersion };
    case 'ERROR':
      throw errorOfStatus({ status: object.code ?? 500, body: object, retryAfterMs: undefined }, type, what);
    case undefined:
    default:
      throw new KubeError('BadResponse', `${what}: an event of unknown type`);
  }
}

/** Its timer runs on and looks at the last byte when it fires: resetting one per chunk would cost more. */
function startWatchdog(
  request: { readonly clock: Clock; readonly idleMsMax: number },
  onSilence: () => void,
): { fed(): void; stop(): void } {
  const { clock, idleMsMax } = request;
  let fedAtMs = clock.nowMs();
  const check = (): void => {
    const leftMs = fedAtMs + idleMsMax - clock.nowMs();
    if (leftMs <= 0) onSilence();
    else timer = clock.setTimer(check, leftMs);
  };
  let timer = clock.setTimer(check, idleMsMax);
  return { fed: () => (fedAtMs = clock.nowMs()), stop: () => timer.cancel() };
}
