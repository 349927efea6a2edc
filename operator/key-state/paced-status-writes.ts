import type { UserKey, UserKeyStatus } from '#crds/v1alpha1/generated/user-key.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Log } from '#operator/kube/observers.ts';

import { writeKeyStatus } from './write-status.ts';

export interface PacedStatusWritesOptions {
  readonly client: Pick<KubeClient, 'apply'>;
  readonly log: Log;
  readonly monotonicMs: () => number;
  /** Owns what is written, and nothing else. */
  readonly fieldManager: string;
  /** For the log. */
  readonly failed: string;
  readonly limits?: PaceLimits;
}

interface PaceLimits {
  /** Least time between two writes about one key. */
  readonly spacingMs: number;
  readonly inFlightMax: number;
  /** Keys that wait for their turn, and keys whose last write is remembered. */
  readonly waitingMax: number;
  readonly trackedMax: number;
}

const paceLimits: PaceLimits = { spacingMs: 60_000, inFlightMax: 4, waitingMax: 10_000, trackedMax: 20_000 };

interface Waiting {
  readonly userKey: UserKey;
  readonly status: UserKeyStatus;
}

/**
 * Writes a part of the status of UserKeys that nobody waits for: rarely for each, a few at a time, the latest of what waits. What
 * does not fit, comes too soon or fails is left out: whoever tells of it does so again.
 */
export class PacedStatusWrites {
  readonly #options: PacedStatusWritesOptions;
  readonly #limits: PaceLimits;
  /** When each key was written about, by its UID, in that order. */
  readonly #writtenAtMs = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #writes = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: PacedStatusWritesOptions) {
    this.#options = options;
    this.#limits = options.limits ?? paceLimits;
  }

  write(userKey: UserKey, status: UserKeyStatus): void {
    const { uid = '', deletionTimestamp } = userKey.metadata;
    if (this.#isClosed || deletionTimestamp !== undefined) return;
    if (!this.#waiting.has(uid) && (this.#waiting.size >= this.#limits.waitingMax || this.#isTooSoon(uid))) return;
    this.#waiting.set(uid, { userKey, status });
    this.#pump();
  }

  /** Resolves when nothing is being written; what waits is left out. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.clear();
    await Promise.all(this.#writes);
  }

  #isTooSoon(uid: string): boolean {
    const writtenAtMs = this.#writtenAtMs.get(uid) ?? -Infinity;
    return this.#options.monotonicMs() - writtenAtMs < this.#limits.spacingMs;
  }

  #pump(): void {
    for (const [uid, waiting] of this.#waiting) {
      if (this.#writes.size >= this.#limits.inFlightMax) return;
      this.#waiting.delete(uid);
      this.#remember(uid);
      const write = this.#write(waiting).finally(() => {
        this.#writes.delete(write);
        this.#pump();
      });
      this.#writes.add(write);
    }
  }

  #remember(uid: string): void {
    this.#writtenAtMs.delete(uid);
    this.#writtenAtMs.set(uid, this.#options.monotonicMs());
    const [oldest] = this.#writtenAtMs.keys();
    if (this.#writtenAtMs.size > this.#limits.trackedMax && oldest !== undefined) this.#writtenAtMs.delete(oldest);
  }

  async #write({ userKey, status }: Waiting): Promise<void> {
    const { client, log, fieldManager, failed } = this.#options;
    try {
      await writeKeyStatus(client, userKey, { fieldManager, status });
    } catch (error) {
      if (isKubeError(error, 'NotFound', 'Conflict')) return;
      log.warn(failed, error instanceof Error ? { error } : {});
    }
  }
}
