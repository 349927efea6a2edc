import { createHash } from 'node:crypto';

import type { KubeClient } from '#operator/kube/client.ts';
import { type Clock, sleep } from '#operator/kube/clock.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import { type Secret, secrets } from '#operator/kube/resources.ts';

import { decodeCounts, encodeCounts, withoutEnded } from './count-codec.ts';
import { type CountedUser, type Counts, type LimitStore, LimitStoreError, type Step } from './limit-store.ts';

export interface ClusterLimitStoreOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  readonly keyNamespace: string;
  readonly clock: Clock;
  readonly nowUnixMs: () => number;
  readonly random: () => number;
}

/** Counts of the users of an organization are spread over so many Secrets by a hash of server and user. */
export const shardCount = 16;
/** A Secret holds 1 MiB. */
const shardBytesMax = 900_000;
/** Shortest time between two writes of one shard that follow each other: what comes in between goes together. */
const writeEveryMs = 50;
/** How often a write that others came before is tried again. */
const attemptsMax = 8;
const conflictMsMax = 30;
const callMsMax = 1_200;
const waitingMax = 1_000;
/** Clocks of replicas may differ by this much. */
const clockMarginMs = 60_000;
const pruneEveryMs = 10_000;

export function shardName(organization: string, index: number): string {
  return `mcp-keyring-limits-${organization}-${index}`;
}

/**
 * Counts in Secrets of the key namespace, written before anything is granted and only if nobody else wrote: the API server decides, so
 * no replica has to lead, and none can die with a truth of its own.
 */
export class ClusterLimitStore implements LimitStore {
  readonly #options: ClusterLimitStoreOptions;
  /** By name; as many as organizations that were here have. */
  readonly #shards = new Map<string, Shard>();

  constructor(options: ClusterLimitStoreOptions) {
    this.#options = options;
  }

  async update({ organization, key }: CountedUser, step: Step): Promise<void> {
    const first = createHash('sha256').update(key).digest().readUInt8(0);
    await this.#shardOf(shardName(organization, first % shardCount)).update(key, step);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#shards.values()].map((shard) => shard.settled()));
  }

  #shardOf(name: string): Shard {
    const known = this.#shards.get(name);
    if (known !== undefined) return known;
    const shard = new Shard(this.#options, name);
    this.#shards.set(name, shard);
    return shard;
  }
}

interface Waiting {
  readonly key: string;
  readonly step: Step;
  readonly done: PromiseWithResolvers<void>;
}

/** `secret` is undefined while there is none. */
interface Known {
  readonly secret: Secret | undefined;
  readonly counts: ReadonlyMap<string, Counts>;
}

class Shard {
  readonly #options: ClusterLimitStoreOptions;
  readonly #name: string;
  #waiting: Waiting[] = [];
  #known: Known | undefined;
  #running: Promise<void> | undefined;
  #prunedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ClusterLimitStoreOptions, name: string) {
    this.#options = options;
    this.#name = name;
  }

  update(key: string, step: Step): Promise<void> {
    if (this.#waiting.length >= waitingMax) return Promise.reject(new LimitStoreError('Busy'));
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ key, step, done });
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return done.promise;
  }

  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      const begunMs = this.#options.clock.nowMs();
      try {
        await this.#write(batch);
        for (const { done } of batch) done.resolve();
      } catch (error) {
        this.#known = undefined;
        const failure = error instanceof LimitStoreError ? error : new LimitStoreError('Unavailable', { cause: error });
        for (const { done } of batch) done.reject(failure);
      }
      if (this.#waiting.length === 0) return;
      await sleep(this.#options.clock, Math.max(0, writeEveryMs - (this.#options.clock.nowMs() - begunMs)));
    }
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const signal = AbortSignal.timeout(callMsMax);
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      this.#known ??= await this.#read(signal);
      const next = new Map(this.#known.counts);
      // A refusal needs no write: others can only have granted more than is known here.
      if (!apply(batch, next)) return;
      try {
        this.#known = await this.#store(this.#known.secret, this.#pruned(next), signal);
        return;
      } catch (error) {
        if (!isKubeError(error, 'Conflict', 'AlreadyExists', 'NotFound')) throw error;
        this.#known = undefined;
        await sleep(this.#options.clock, this.#options.random() * conflictMsMax * (attempt + 1), signal);
      }
    }
    throw new LimitStoreError('Contended');
  }

  async #read(signal: AbortSignal): Promise<Known> {
    const ref = { namespace: this.#options.keyNamespace, name: this.#name };
    const secret = await this.#options.client.get(secrets, ref, { signal });
    return { secret, counts: countsIn(secret) };
  }

  async #store(secret: Secret | undefined, counts: ReadonlyMap<string, Counts>, signal: AbortSignal): Promise<Known> {
    const { client, keyNamespace: namespace } = this.#options;
    const text = JSON.stringify(Object.fromEntries([...counts].map(([key, found]) => [key, encodeCounts(found)])));
    if (Buffer.byteLength(text) > shardBytesMax) throw new LimitStoreError('Full');
    const data = { [entry]: Buffer.from(text).toString('base64') };
    const written =
      secret === undefined
        ? await client.create(secrets, newShard(namespace, this.#name, data), { signal })
        : await client.replace(secrets, { ...secret, data }, { signal });
    return { secret: written, counts };
  }

  #pruned(counts: ReadonlyMap<string, Counts>): ReadonlyMap<string, Counts> {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#prunedAtMs < pruneEveryMs) return counts;
    this.#prunedAtMs = nowMs;
    const left = new Map<string, Counts>();
    for (const [key, found] of counts) {
      const kept = withoutEnded(found, this.#options.nowUnixMs(), clockMarginMs);
      if (kept !== undefined) left.set(key, kept);
    }
    return left;
  }
}

const entry = 'counts';

/** Whether anything changed. */
function apply(batch: readonly Waiting[], counts: Map<string, Counts>): boolean {
  let changed = false;
  for (const { key, step } of batch) {
    const next = step(counts.get(key));
    if (next === undefined) continue;
    counts.set(key, next);
    changed = true;
  }
  return changed;
}

function countsIn(secret: Secret | undefined): ReadonlyMap<string, Counts> {
  const encoded = secret?.data?.[entry];
  if (encoded === undefined) return new Map();
  const parsed: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString());
  if (typeof parsed !== 'object' || parsed === null) return new Map();
  return new Map(Object.entries(parsed).map(([key, counts]) => [key, decodeCounts(counts)]));
}

/** Without our label: what watches sealed keys must not hear of every count. */
function newShard(namespace: string, name: string, data: Readonly<Record<string, string>>): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name, labels: { 'app.kubernetes.io/part-of': 'mcp-keyring' } },
    type: 'mcpkeyring.io/limits.v1',
    data,
  };
}
