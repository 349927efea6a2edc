import { Backoff } from '#operator/kube/backoff.ts';
import type { KubeClient, ListOptions } from '#operator/kube/client.ts';
import { type Clock, sleep, type Timer } from '#operator/kube/clock.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import { listPages } from '#operator/kube/list-pages.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { secrets } from '#operator/kube/resources.ts';
import type { Transport } from '#operator/kube/transport.ts';
import { watchEvents } from '#operator/kube/watch-stream.ts';
import { KeyStoreError } from '#operator/keystore/errors.ts';
import type { OpenedKey } from '#operator/keystore/key-store.ts';
import type { RawSecret } from '#operator/keystore/secret-json.ts';

import { copyKey, readKeySecret, type SecretState } from './key-secret.ts';

export interface SecretRef {
  readonly namespace: string;
  readonly name: string;
}

export interface FollowerOptions {
  readonly ref: SecretRef;
  readonly transport: Transport;
  readonly client: Pick<KubeClient, 'getRaw'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** The state is another one now. */
  readonly onChange: () => void;
}

/** How long values that were read serve further leases before they are zeroed. */
export const heldMsMax = 5_000;

/** A right that is given is noticed within the longest of these. */
const backoffLimits = { delayMsMin: 500, delayMsMax: 10_000, resetAfterMs: 60_000 } as const;
const watchSecondsMin = 300;
const watchIdleMsMax = 150_000;

/**
 * Follows one Secret by its name alone, so that the right to read it need not be one on its neighbours. What is watched is its metadata;
 * the values are read when they are needed, as bytes, and held for seconds.
 */
export class SecretFollower {
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  #state: SecretState = { kind: 'unknown' };
  #held: { readonly raw: RawSecret; readonly version: number; readonly timer: Timer } | undefined;
  #reading: Promise<void> | undefined;
  #running: Promise<void> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  get state(): SecretState {
    return this.#state;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** The values as they are now; whoever gets them zeroes them. `undefined`: `state` says why. @throws KubeError */
  async open(): Promise<OpenedKey | undefined> {
    if (this.#state.kind !== 'found' && this.#state.kind !== 'unknown') return undefined;
    if (this.#held === undefined) await this.#read();
    return this.#held === undefined ? undefined : copyKey(this.#held.raw, this.#held.version);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#reading?.catch(() => {});
    this.#forget();
  }

  async #run(): Promise<void> {
    const { clock, random, log, ref } = this.#options;
    const { signal } = this.#stopping;
    const backoff = new Backoff(backoffLimits, random);
    while (!signal.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        if (isKubeError(error, 'Forbidden')) this.#become({ kind: 'forbidden' });
        else log.warn('a referenced Secret cannot be followed, trying again', { ...ref, ...errorField(error) });
        await sleep(clock, backoff.nextDelayMs(clock.nowMs()), signal);
      }
    }
  }

  /** One listing and the watch after it. */
  async #follow(): Promise<void> {
    const { ref, transport, clock, random } = this.#options;
    const { signal } = this.#stopping;
    const options: ListOptions = {
      namespace: ref.namespace,
      fieldSelector: `metadata.name=${ref.name}`,
      metadataOnly: true,
    };
    const listing = await listPages<KubeObject>(transport, secrets, { ...options, signal });
    await this.#see(listing.items[0]);
    const events = watchEvents<KubeObject>(transport, {
      type: secrets,
      options,
      resourceVersion: listing.resourceVersion,
      timeoutSeconds: Math.round(watchSecondsMin * (1 + random())),
      idleMsMax: watchIdleMsMax,
      signal,
      clock,
    });
    for await (const event of events) {
      if (event.type === 'DELETED') await this.#see(undefined);
      else if (event.type !== 'BOOKMARK') await this.#see(event.object);
    }
  }

  async #see(object: KubeObject | undefined): Promise<void> {
    if (object === undefined) return this.#become({ kind: 'notFound' });
    // One that is under way may have begun before the change.
    await this.#reading?.catch(() => {});
    await this.#read();
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readNow().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readNow(): Promise<void> {
    const { client, ref } = this.#options;
    let json: Buffer | undefined;
    try {
      json = await client.getRaw(secrets, ref, { signal: this.#stopping.signal });
      if (json === undefined) this.#become({ kind: 'notFound' });
      else this.#take(json);
    } catch (error) {
      if (error instanceof KeyStoreError) this.#become({ kind: 'malformed' });
      else if (isKubeError(error, 'Forbidden')) this.#become({ kind: 'forbidden' });
      else throw error;
    } finally {
      json?.fill(0);
    }
  }

  #take(json: Buffer): void {
    const { state, raw } = readKeySecret(json);
    this.#forget();
    if (this.#stopping.signal.aborted) return raw[Symbol.dispose]();
    const timer = this.#options.clock.setTimer(() => this.#forget(), heldMsMax);
    this.#held = { raw, version: state.version, timer };
    this.#tell(state);
  }

  /** There is nothing, or nothing that may be used. */
  #become(state: SecretState): void {
    this.#forget();
    this.#tell(state);
  }

  #tell(state: SecretState): void {
    const before = JSON.stringify(this.#state);
    this.#state = state;
    if (JSON.stringify(state) !== before) this.#options.onChange();
  }

  #forget(): void {
    this.#held?.timer.cancel();
    this.#held?.raw[Symbol.dispose]();
    this.#held = undefined;
  }
}

function errorField(error: unknown): { readonly error?: Error } {
  return error instanceof Error ? { error } : {};
}
