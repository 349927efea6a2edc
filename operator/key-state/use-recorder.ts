import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import { PacedStatusWrites, type PacedStatusWritesOptions } from './paced-status-writes.ts';

export interface UseRecorderOptions extends Pick<PacedStatusWritesOptions, 'client' | 'log' | 'monotonicMs'> {
  readonly now: () => Date;
}

/** How far `status.usedAt` is behind, at most, while a key goes on being used. */
export const usedAgainMs = 600_000;

/** Writes on UserKeys when they were last handed to a proxy. Every replica may: whoever writes last has seen the last use. */
export class UseRecorder {
  readonly #writes: PacedStatusWrites;
  readonly #now: () => Date;

  constructor({ now, client, log, monotonicMs }: UseRecorderOptions) {
    this.#now = now;
    const failed = 'the use of a key could not be written down';
    this.#writes = new PacedStatusWrites({ client, log, monotonicMs, fieldManager: 'mcp-keyring-uses', failed });
  }

  used(userKey: UserKey): void {
    const now = this.#now();
    if (isRecent(userKey, now)) return;
    this.#writes.write(userKey, { usedAt: now.toISOString() });
  }

  close(): Promise<void> {
    return this.#writes.close();
  }
}

/** Whether what is on record is about this version, which is the time at which it was set, and good enough. */
function isRecent({ status }: UserKey, now: Date): boolean {
  const usedAtMs = Date.parse(status?.usedAt ?? '');
  return usedAtMs >= (status?.version ?? 0) && now.getTime() - usedAtMs < usedAgainMs;
}

/** Pure. When one header was last handed out; all headers of a key are, together, so one that was set later was not yet. */
export function headerUsedAt(usedAt: string | undefined, setAt: string): { readonly usedAt?: string } {
  return usedAt === undefined || Date.parse(usedAt) < Date.parse(setAt) ? {} : { usedAt };
}
