import type { UserKey, UserKeyStatusSubject } from '#crds/v1alpha1/generated/user-key.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/errors.ts';
import type { Log } from '#operator/kube/observers.ts';

import { namedGroups, subjectToRecord } from './groups-on-record.ts';
import { subjectLimits } from './subject-limits.ts';
import { writeSubject } from './write-subject.ts';

export interface SubjectRecorderOptions {
  /** Not fenced: users come to every replica. Whoever writes last has seen the user last. */
  readonly client: Pick<KubeClient, 'apply'>;
  readonly log: Log;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
}

/** Writes on UserKeys in which groups their users were seen last. Nobody waits for it, and what fails is written when they come again. */
export class SubjectRecorder {
  readonly #options: SubjectRecorderOptions;
  /** When each key was written about, by its UID, in that order. */
  readonly #writtenAtMs = new Map<string, number>();
  readonly #writes = new Set<Promise<void>>();

  constructor(options: SubjectRecorderOptions) {
    this.#options = options;
  }

  /** The user of this key has just been seen in `groups`. */
  seen(userKey: UserKey, groups: readonly string[], policies: readonly Pick<UserKeyPolicy, 'spec'>[]): void {
    const { uid = '', deletionTimestamp } = userKey.metadata;
    const subject = subjectToRecord(userKey, namedGroups(groups, policies), this.#options.now());
    if (subject === undefined || deletionTimestamp !== undefined || !this.#mayWrite(uid)) return;
    const write = this.#write(userKey, subject).finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /** Resolves when nothing is being written. */
  async close(): Promise<void> {
    await Promise.all(this.#writes);
  }

  #mayWrite(uid: string): boolean {
    const nowMs = this.#options.monotonicMs();
    const writtenAtMs = this.#writtenAtMs.get(uid) ?? -Infinity;
    if (nowMs - writtenAtMs < subjectLimits.writeSpacingMs) return false;
    if (this.#writes.size >= subjectLimits.writesInFlightMax) return false;
    this.#writtenAtMs.delete(uid);
    this.#writtenAtMs.set(uid, nowMs);
    const [oldest] = this.#writtenAtMs.keys();
    if (this.#writtenAtMs.size > subjectLimits.keysTrackedMax && oldest !== undefined) this.#writtenAtMs.delete(oldest);
    return true;
  }

  async #write(userKey: UserKey, subject: UserKeyStatusSubject): Promise<void> {
    try {
      await writeSubject(this.#options.client, userKey, subject);
    } catch (error) {
      if (isKubeError(error, 'NotFound') || isKubeError(error, 'Conflict')) return;
      this.#options.log.warn('groups of a user could not be written down', error instanceof Error ? { error } : {});
    }
  }
}
