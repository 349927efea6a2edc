import type { CountedUser, Counts, LimitStore, Step } from '#operator/limits/limit-store.ts';

/** Counts in memory, for brokers that are tested for something else. */
export class MemoryLimitStore implements LimitStore {
  readonly counts = new Map<string, Counts>();
  failure: Error | undefined;

  async update({ organization, key: user }: CountedUser, step: Step): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    const key = `${organization}/${user}`;
    const next = step(this.counts.get(key));
    if (next !== undefined) this.counts.set(key, next);
  }

  async close(): Promise<void> {}
}
