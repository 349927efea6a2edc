import { setImmediate as nextTurn } from 'node:timers/promises';

import { linkAbort } from './abort-link.ts';
import { Backoff, type BackoffLimits, reflectorBackoff } from './backoff.ts';
import type { ListOptions } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { isKubeError, KubeError } from './errors.ts';
import type { Change, Informer, Store } from './informer.ts';
import { currentVersion, listPages } from './list-pages.ts';
import { type InformerObserver, type Log, silentLog } from './observers.ts';
import type { KubeObject, ResourceType } from './resource.ts';
import { compareResourceVersions, laterResourceVersion } from './resource-version.ts';
import { ObjectStore } from './store.ts';
import type { Transport } from './transport.ts';
import { type WatchEvent, watchEvents } from './watch-stream.ts';

export interface InformerTiming {
  readonly backoff: BackoffLimits;
  /** Bookmarks come every minute; this is two and a half of them. */
  readonly idleMsMax: number;
  readonly watchSecondsMin: number;
  readonly watchSecondsMax: number;
  /** A watch that ended sooner than this, and brought nothing, counts as a failure. */
  readonly watchMsMin: number;
}

export const informerTiming: InformerTiming = {
  backoff: reflectorBackoff,
  idleMsMax: 150_000,
  watchSecondsMin: 300,
  watchSecondsMax: 600,
  watchMsMin: 1000,
};

export interface InformerConfig<T extends KubeObject> {
  readonly transport: Transport;
  readonly type: ResourceType<T>;
  readonly options?: ListOptions;
  /** Cuts down what is kept. It must leave name, namespace, uid and resourceVersion. Default: drops managedFields. */
  readonly transform?: (object: T) => T;
  readonly observer?: InformerObserver;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly timing?: Partial<InformerTiming>;
}

export function createInformer<T extends KubeObject>(config: InformerConfig<T>): Informer<T> {
  return new ListWatchInformer(config);
}

/** managedFields are often most of an object, and nobody here reads them. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}

type Handler<T extends KubeObject> = (change: Change<T>) => void;

/** Changes that are told to the handlers before other work gets a turn. */
const changesPerTurn = 500;

class ListWatchInformer<T extends KubeObject> implements Informer<T> {
  readonly #config: InformerConfig<T>;
  readonly #transform: (object: T) => T;
  readonly #timing: InformerTiming;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #backoff: Backoff;
  readonly #store = new ObjectStore<T>();
  readonly #handlers: Handler<T>[] = [];
  readonly #stopping = new AbortController();
  readonly #firstSync = Promise.withResolvers<void>();
  #synced = false;
  /** Where the next watch begins; absent: list first. */
  #position: string | undefined;
  #listReason: 'start' | 'expired' | 'silent' = 'start';
  /** Whether the last watch ended in silence; `behind` when the reader knows that something was missed. */
  #silence: 'none' | 'silent' | 'behind' = 'none';
  #running: Promise<void> | undefined;
  #watching: AbortController | undefined;

  constructor(config: InformerConfig<T>) {
    this.#config = config;
    this.#transform = config.transform ?? withoutManagedFields;
    this.#timing = { ...informerTiming, ...config.timing };
    this.#clock = config.clock ?? systemClock;
    this.#random = config.random ?? Math.random;
    this.#log = config.log ?? silentLog;
    this.#backoff = new Backoff(this.#timing.backoff, this.#random);
    // Whoever waits has their own copy of the rejection; without a waiter it is nobody's concern.
    this.#firstSync.promise.catch(ignore);
  }

  get store(): Store<T> {
    return this.#store;
  }

  get hasSynced(): boolean {
    return this.#synced;
  }

  onChange(handler: (change: Change<T>) => void): void {
    for (const object of this.#store.list()) this.#tell([handler], { kind: 'added', object });
    this.#handlers.push(handler);
  }

  start(): void {
    if (this.#stopping.signal.aborted) throw new Error('a closed informer cannot be started again');
    this.#running ??= this.#run();
  }

  distrust(): void {
    this.#silence = 'behind';
    this.#watching?.abort(new KubeError('Timeout', `watch ${this.#name}: silent, as its reader found`));
  }

  async synced(signal?: AbortSignal): Promise<void> {
    if (signal === undefined) return await this.#firstSync.promise;
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void =>
      aborted.reject(new KubeError('Aborted', `${this.#name}: not synced`, { cause: signal.reason }));
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([this.#firstSync.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#firstSync.reject(new KubeError('Aborted', `${this.#name}: informer closed before its first sync`));
    await this.#running;
  }

  get #name(): string {
    return this.#config.type.plural;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (this.#silence !== 'none') await this.#judgeSilence();
        const position = this.#position ?? (await this.#relist());
        await this.#watch(position);
      } catch (error) {
        if (signal.aborted) break;
        await this.#recover(error);
      }
    }
  }

  async #recover(error: unknown): Promise<void> {
    const outcome = isKubeError(error, 'Gone') ? 'expired' : 'failed';
    if (outcome === 'expired') this.#forgetPosition(outcome);
    this.#config.observer?.watchEnded(outcome);
    const asked = isKubeError(error) ? (error.retryAfterMs ?? 0) : 0;
    const { delayMsMax } = this.#timing.backoff;
    const delayMs = Math.max(this.#backoff.nextDelayMs(this.#clock.nowMs()), Math.min(asked, delayMsMax));
    const fields = { resource: this.#name, delayMs: Math.round(delayMs) };
    if (isKubeError(error)) this.#log.warn('list or watch failed, trying again', { ...fields, error });
    else this.#log.error('list or watch met a defect, trying again', { ...fields, ...errorField(error) });
    await sleep(this.#clock, delayMs, this.#stopping.signal);
  }

  /**
   * A watch on which nothing happens is silent, bookmarks or not, and begins again where it was: what a half-open socket kept back
   * comes then. But a server that was restored from an older backup waits without a word for the version that we ask for, and only
   * a new list gets out of that.
   */
  async #judgeSilence(): Promise<void> {
    const { transport, type, options } = this.#config;
    const isBehind = this.#silence === 'behind';
    const current = isBehind
      ? ''
      : await currentVersion(transport, type, { ...options, signal: this.#stopping.signal });
    this.#silence = 'none';
    if (isBehind || compareResourceVersions(current, this.#position) < 0) this.#forgetPosition('silent');
  }

  #forgetPosition(why: 'expired' | 'silent'): void {
    this.#position = undefined;
    this.#listReason = why;
  }

  async #relist(): Promise<string> {
    const { signal } = this.#stopping;
    const { transport, type, options, observer } = this.#config;
    observer?.relisted(this.#synced ? this.#listReason : 'start');
    const listing = await listPages(transport, type, { ...options, signal, transform: this.#transform });
    signal.throwIfAborted();
    const changes = this.#store.replaceAll(listing.items);
    // Those who register from here on hear of the store's content at once, and must not hear of it again.
    await this.#tellAll([...this.#handlers], changes);
    this.#position = listing.resourceVersion;
    this.#synced = true;
    this.#firstSync.resolve();
    observer?.synced({ resourceVersion: listing.resourceVersion, objects: this.#store.size });
    return listing.resourceVersion;
  }

  async #tellAll(handlers: readonly Handler<T>[], changes: readonly Change<T>[]): Promise<void> {
    for (const [index, change] of changes.entries()) {
      if (index > 0 && index % changesPerTurn === 0) await nextTurn();
      this.#tell(handlers, change);
    }
  }

  async #watch(position: string): Promise<void> {
    const { transport, type, options, observer } = this.#config;
    const startedAtMs = this.#clock.nowMs();
    this.#watching = new AbortController();
    using link = linkAbort(this.#stopping.signal, this.#watching.signal);
    const events = watchEvents(transport, {
      type,
      options: options ?? {},
      resourceVersion: position,
      timeoutSeconds: this.#watchSeconds(),
      idleMsMax: this.#timing.idleMsMax,
      signal: link.signal,
      clock: this.#clock,
    });
    try {
      for await (const event of events) this.#take(event);
    } catch (error) {
      if (!isKubeError(error, 'Timeout')) throw error;
      if (this.#silence === 'none') this.#silence = 'silent';
      observer?.watchEnded('silent');
      return;
    }
    if (this.#position === position && this.#clock.nowMs() - startedAtMs < this.#timing.watchMsMin) {
      throw new KubeError('Unavailable', `watch ${this.#name}: ended at once`);
    }
    observer?.watchEnded('closed');
  }

  #watchSeconds(): number {
    const { watchSecondsMin, watchSecondsMax } = this.#timing;
    return Math.round(watchSecondsMin + this.#random() * (watchSecondsMax - watchSecondsMin));
  }

  #take(event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') {
      this.#advance(event.resourceVersion);
    } else {
      const object = this.#transform(event.object);
      const changes = event.type === 'DELETED' ? this.#store.remove(object) : this.#store.upsert(object);
      for (const change of changes) this.#tell(this.#handlers, change);
      this.#advance(object.metadata.resourceVersion);
    }
    this.#config.observer?.eventReceived(this.#store.size);
  }

  #advance(resourceVersion: string | undefined): void {
    if (resourceVersion !== undefined) this.#position = laterResourceVersion(resourceVersion, this.#position);
  }

  #tell(handlers: readonly Handler<T>[], change: Change<T>): void {
    for (const handler of handlers) {
      if (this.#stopping.signal.aborted) return;
      try {
        handler(change);
      } catch (error) {
        this.#config.observer?.handlerFailed();
        this.#log.error('an informer handler threw', { resource: this.#name, ...errorField(error) });
      }
    }
  }
}

function errorField(error: unknown): { readonly error: Error } | Record<string, never> {
  return error instanceof Error ? { error } : {};
}

function ignore(): void {
  // Nobody waited.
}
