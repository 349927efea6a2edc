import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';

import { detectedToRecord } from './detected-end.ts';
import { PacedStatusWrites, type PacedStatusWritesOptions } from './paced-status-writes.ts';

export interface EndRecorderOptions extends Pick<PacedStatusWritesOptions, 'client' | 'log' | 'monotonicMs'> {
  readonly now: () => Date;
}

/** Writes on UserKeys when their upstreams say that keys end. Every replica may: they all write what the same upstream says. */
export class EndRecorder {
  readonly #writes: PacedStatusWrites;
  readonly #now: () => Date;

  constructor({ now, client, log, monotonicMs }: EndRecorderOptions) {
    this.#now = now;
    const failed = 'the end of a key could not be written down';
    this.#writes = new PacedStatusWrites({ client, log, monotonicMs, fieldManager: 'mcp-keyring-ends', failed });
  }

  told(userKey: UserKey, version: number, endsAtMs: number): void {
    const detected = detectedToRecord(userKey, { version, endsAtMs }, this.#now());
    if (detected !== undefined) this.#writes.write(userKey, { detected });
  }

  close(): Promise<void> {
    return this.#writes.close();
  }
}
