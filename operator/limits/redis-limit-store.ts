import { setTimeout as pause } from 'node:timers/promises';

import { Redis } from 'iovalkey';

import type { Log } from '#operator/kube/observers.ts';

import { decodeCounts, encodeCounts, withoutEnded } from './count-codec.ts';
import { type CountedUser, type LimitStore, LimitStoreError, type Step } from './limit-store.ts';

export interface RedisLimitStoreOptions {
  /** `redis:` or `rediss:` (TLS), with a user name and a number of a database where they are needed. */
  readonly url: string;
  readonly password?: string | undefined;
  /** PEM; absent: the public roots. */
  readonly ca?: string | undefined;
  readonly nowUnixMs: () => number;
  readonly random: () => number;
  readonly log: Log;
}

const commandMsMax = 1_000;
const connectMsMax = 1_000;
const reconnectMsMax = 2_000;
const attemptsMax = 16;
const conflictMsMax = 5;
/** Clocks of replicas may differ by this much. */
const clockMarginMs = 60_000;
const prefix = 'mcp-keyring:limits:';

/** Sets KEYS[1] to ARGV[2] for ARGV[3] ms if it is still ARGV[1]; empty text is none. */
const replaceIfSame = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`;

/** Counts in Valkey or Redis, one entry a user and server, written only if nobody else wrote in between. */
export class RedisLimitStore implements LimitStore {
  readonly #redis: Redis;
  readonly #options: RedisLimitStoreOptions;

  constructor(options: RedisLimitStoreOptions) {
    this.#options = options;
    const { url, password, ca, log } = options;
    this.#redis = new Redis(url, {
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { tls: { ca } }),
      commandTimeout: commandMsMax,
      connectTimeout: connectMsMax,
      // Nobody waits for one that is away: the policy says what happens then.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(times * 100, reconnectMsMax),
    });
    this.#redis.on('error', (error: Error) => log.warn('the store of limits does not answer', { error }));
  }

  async update({ organization, key }: CountedUser, step: Step): Promise<void> {
    try {
      await this.#update(`${prefix}${organization}/${key}`, step);
    } catch (error) {
      throw error instanceof LimitStoreError ? error : new LimitStoreError('Unavailable', { cause: error });
    }
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  async #update(key: string, step: Step): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const before = (await this.#redis.get(key)) ?? '';
      const next = step(before === '' ? undefined : decodeCounts(JSON.parse(before)));
      if (next === undefined) return;
      const nowMs = this.#options.nowUnixMs();
      const kept = withoutEnded(next, nowMs, clockMarginMs) ?? {};
      const text = JSON.stringify(encodeCounts(kept));
      const endMs = Math.max(nowMs, ...Object.values(kept).map((state) => state.endMs));
      const isWritten = await this.#redis.eval(replaceIfSame, 1, key, before, text, endMs - nowMs + clockMarginMs);
      if (isWritten === 1) return;
      await pause(this.#options.random() * conflictMsMax * attempt);
    }
    throw new LimitStoreError('Contended');
  }
}
