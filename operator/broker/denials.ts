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
  readonly #bySource: CountWindow;
  readonly #all: CountWindow;

  constructor(options: DenialsOptions) {
    this.#options = options;
    const { windowMs, podsTrackedMax, denialsRecordedPerSourceMax, denialsRecordedMax } = brokerLimits;
    const { monotonicMs } = options;
    this.#bySource = new CountWindow({
      windowMs,
      countMax: denialsRecordedPerSourceMax,
      keysMax: podsTrackedMax,
      monotonicMs,
    });
    this.#all = new CountWindow({ windowMs, countMax: denialsRecordedMax, keysMax: 1, monotonicMs });
  }

  /** Never rejects: the refusal stands whether or not it could be recorded. `source`: the pod's UID, or '' for nobody known. */
  async record(source: string, denial: Denial): Promise<void> {
    const { audit, observer, now, newId, log } = this.#options;
    if (!this.#bySource.take(source) || !this.#all.take('')) {
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
