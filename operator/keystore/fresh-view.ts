import { group, labels } from '#crds/v1alpha1/names.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { type Clock, sleep } from '#operator/kube/clock.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import { compareResourceVersions } from '#operator/kube/resource-version.ts';
import { secrets, type Secret } from '#operator/kube/resources.ts';

import { KeyStoreError } from './errors.ts';
import { canaryLabelValue } from './sealed-secret.ts';

export interface FreshViewOptions {
  readonly client: Pick<KubeClient, 'create' | 'replace'>;
  /** The one whose store keys are read from. */
  readonly informer: Pick<Informer<Secret>, 'store' | 'onChange' | 'distrust'>;
  readonly keyNamespace: string;
  /** Tells this process from every other. */
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: FreshViewLimits;
}

export interface FreshViewLimits {
  /** No key is read from a view that was last seen to follow longer ago. */
  readonly ageMsMax: number;
  /** From this age on it is looked at again, while readers go on. */
  readonly renewMs: number;
  /** Longest that a change of ours may take to arrive. */
  readonly arrivalMsMax: number;
}

export const freshViewLimits: FreshViewLimits = { ageMsMax: 10_000, renewMs: 5_000, arrivalMsMax: 3_000 };

export const canaryName = 'mcp-keyring-canary';

/**
 * Knows whether the cache of sealed keys follows the API server. A watch that has gone silent looks like one on which nothing
 * happens, and a key that was deleted meanwhile would still be handed out. So while keys are read, and not otherwise, this replica
 * changes a Secret of its own from time to time, and waits until the change comes back through the watch. All replicas share that
 * Secret; whose change it was last does not matter, as a view that has a later one has all before it.
 */
export class FreshView {
  readonly #options: FreshViewOptions;
  readonly #limits: FreshViewLimits;
  #provenAtMs = Number.NEGATIVE_INFINITY;
  #touches = 0;
  #proof: Promise<void> | undefined;
  #arrived: (() => void) | undefined;

  constructor(options: FreshViewOptions) {
    this.#options = options;
    this.#limits = options.limits ?? freshViewLimits;
    options.informer.onChange(({ object }) => {
      if (object.metadata.name === canaryName) this.#arrived?.();
    });
  }

  /** Resolves when what the cache holds is at most `ageMsMax` old. @throws KeyStoreError ViewStale, KubeError */
  async assure(): Promise<void> {
    const ageMs = this.#options.clock.nowMs() - this.#provenAtMs;
    if (ageMs < this.#limits.renewMs) return;
    const proof = this.#prove();
    if (ageMs >= this.#limits.ageMsMax) await proof;
    // Whoever still needs it asks again, and hears of it.
    else proof.catch(() => {});
  }

  #prove(): Promise<void> {
    this.#proof ??= this.#touchAndSee().finally(() => (this.#proof = undefined));
    return this.#proof;
  }

  async #touchAndSee(): Promise<void> {
    const { clock, informer, log } = this.#options;
    const begunAtMs = clock.nowMs();
    const version = await this.#touch(AbortSignal.timeout(this.#limits.arrivalMsMax));
    if (await this.#arrives(version)) {
      this.#provenAtMs = begunAtMs;
      return;
    }
    log.warn('the watch on sealed keys has fallen silent: listing them again', {});
    informer.distrust();
    throw new KeyStoreError('ViewStale');
  }

  /** The version of our change. */
  async #touch(signal: AbortSignal): Promise<string | undefined> {
    const { client, keyNamespace, bootId } = this.#options;
    this.#touches += 1;
    const canary = canarySecret(keyNamespace, `${bootId}.${this.#touches}`);
    const replace = async (): Promise<Secret> => await client.replace(secrets, canary, { signal });
    const create = async (): Promise<Secret> => await client.create(secrets, canary, { signal });
    // The very first one is made by whoever comes first.
    const written = await replace().catch(unless('NotFound', create)).catch(unless('AlreadyExists', replace));
    return written.metadata.resourceVersion;
  }

  async #arrives(version: string | undefined): Promise<boolean> {
    const { clock } = this.#options;
    const arrival = new AbortController();
    this.#arrived = () => {
      if (this.#hasSeen(version)) arrival.abort();
    };
    this.#arrived();
    await sleep(clock, this.#limits.arrivalMsMax, arrival.signal);
    this.#arrived = undefined;
    return arrival.signal.aborted;
  }

  #hasSeen(version: string | undefined): boolean {
    const { informer, keyNamespace } = this.#options;
    const seen = informer.store.get(keyNamespace, canaryName);
    return seen !== undefined && compareResourceVersions(seen.metadata.resourceVersion, version) >= 0;
  }
}

function unless(code: 'NotFound' | 'AlreadyExists', other: () => Promise<Secret>): (error: unknown) => Promise<Secret> {
  return async (error) => {
    if (!isKubeError(error, code)) throw error;
    return await other();
  };
}

/** Without a resourceVersion: replicas change it over each other, and none has to win. */
function canarySecret(namespace: string, touch: string): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      namespace,
      name: canaryName,
      labels: { [labels.managed]: canaryLabelValue },
      annotations: { [`${group}/touch`]: touch },
    },
    type: 'Opaque',
  };
}
