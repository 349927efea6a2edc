import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditLog, DenialEvent } from '#operator/audit/audit-log.ts';
import type { Log } from '#operator/kube/observers.ts';

import { brokerLimits } from './limits.ts';
import type { BrokerObserver } from './metrics.ts';
import { CountWindow } from './windows.ts';

export type Denial = Omit<DenialEvent, 'id' | 'at' | 'type'>;

export interface DenialsOptions {
  readonly audit: Pick<AuditLog, 'append'>;
  readonly observer: Pick<BrokerObserver, 'denialNotRecorded'>;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
  readonly newId: () => string;
}

/** Puts refusals on record. A flood from one source is only counted: nobody may fill the disk by being refused. */
export class Denials {
  readonly #options: DenialsOptions;
  readonly #ofStrangers: Ration;
  /** Apart, so that strangers do not keep a refusal of a known user off the record. */
  readonly #ofUsers: Ration;

  constructor(options: DenialsOptions) {
    this.#options = options;
    this.#ofStrangers = createRation(options.monotonicMs);
    this.#ofUsers = createRation(options.monotonicMs);
  }

  /**
   * Never rejects: the refusal stands whether or not it could be recorded. `source`: the pod's UID, or '' for nobody known. `group`:
   * those who share what is recorded, so that no organization keeps refusals of another off the record.
   */
  async record(source: string, denial: Denial, group: string = denial.organization ?? ''): Promise<void> {
    const { audit, observer, now, newId, log } = this.#options;
    const ration = denial.subject === undefined ? this.#ofStrangers : this.#ofUsers;
    if (!ration.bySource.take(source) || !ration.all.take(group)) {
      observer.denialNotRecorded();
      return;
    }
    try {
      await audit.append({ ...denial, id: newId(), at: now().toISOString(), type: 'denied' });
    } catch (error) {
      observer.denialNotRecorded();
      log.error('a refusal could not be recorded', { code: error instanceof AuditError ? error.code : 'unknown' });
    }
  }
}

interface Ration {
  readonly bySource: CountWindow;
  readonly all: CountWindow;
}

function createRation(monotonicMs: () => number): Ration {
  const { windowMs, podsTrackedMax, denialsRecordedPerSourceMax, denialsRecordedMax, recordGroupsMax } = brokerLimits;
  return {
    bySource: new CountWindow({
      windowMs,
      countMax: denialsRecordedPerSourceMax,
      keysMax: podsTrackedMax,
      monotonicMs,
    }),
    all: new CountWindow({ windowMs, countMax: denialsRecordedMax, keysMax: recordGroupsMax, monotonicMs }),
  };
}
