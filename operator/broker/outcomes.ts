import type { ServerRef } from '#contract/lease.ts';
import type { KeyEnd, KeyOutcome, OutcomeReport } from '#contract/outcome.ts';
import type { EndRecorder } from '#operator/key-state/end-recorder.ts';
import type { Log } from '#operator/kube/observers.ts';

import { userKeyName } from '#operator/keystore/names.ts';

import { brokerLimits } from './limits.ts';
import { markRejected, type MarkerOptions, sharedKeyOwner } from './mark-rejected.ts';
import type { BrokerObserver } from './metrics.ts';
import type { PodGate } from './pod-gate.ts';
import type { Receipts } from './receipts.ts';
import { type Rejection, Rejections } from './rejections.ts';

export interface OutcomeIntakeOptions extends MarkerOptions {
  readonly podGate: Pick<PodGate, 'admit'>;
  readonly receipts: Pick<Receipts, 'covers'>;
  readonly observer: Pick<BrokerObserver, 'keyRejection'>;
  readonly ends: Pick<EndRecorder, 'told'>;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

/**
 * Takes what sidecars tell of keys that upstreams refused, and marks those that are at fault; and when upstreams say that keys end. A pod speaks of keys that it
 * was given, as receipts prove: one that was not given a user's key can say nothing about it.
 */
export class OutcomeIntake {
  readonly #options: OutcomeIntakeOptions;
  readonly #rejections: Rejections;
  /** Marks that have to be written, and could not yet. */
  readonly #unmarked = new Map<string, Rejection>();
  readonly #sweep: NodeJS.Timeout;
  #marking: Promise<void> | undefined;

  constructor(options: OutcomeIntakeOptions) {
    this.#options = options;
    this.#rejections = new Rejections(options);
    this.#sweep = setInterval(() => void this.settle(), brokerLimits.rejectionSweepMs);
    this.#sweep.unref();
  }

  /** Resolves the number of outcomes believed. @throws BrokerError */
  async take({ server, outcomes, ends = [] }: OutcomeReport, podToken: string | undefined): Promise<number> {
    const pod = await this.#options.podGate.admit({ token: podToken, server, purpose: 'leasing', action: 'outcomes' });
    const isProven = (told: KeyOutcome | KeyEnd): boolean =>
      this.#options.receipts.covers({ server, podUid: pod.uid }, told);
    const proven = outcomes.filter(isProven);
    const provenEnds = ends.filter(isProven);
    for (const end of provenEnds) this.#takeEnd(server, end);
    if (proven.length > 0) this.#rejections.take(server, proven.map(ofWhoseKey));
    // Of a sidecar of before receipts, or made up: told again, it would be no better.
    if (proven.length < outcomes.length) this.#options.observer.keyRejection('unproven');
    return proven.length + provenEnds.length;
  }

  #takeEnd(server: ServerRef, { subjectKey, keyVersion, endsAt }: KeyEnd): void {
    const userKey = this.#options.userKeys.get(server.namespace, userKeyName(server, subjectKey));
    if (userKey?.spec.serverRef.name !== server.name) return;
    this.#options.ends.told(userKey, keyVersion, Date.parse(endsAt));
  }

  /** Judges, and writes the marks that are due. Never rejects: what fails is tried again with the next sweep. */
  async settle(): Promise<void> {
    if (this.#rejections.isEmpty && this.#unmarked.size === 0) return;
    for (const { verdict, isNews, ...rejection } of this.#rejections.judgeAll()) {
      if (verdict === 'key') this.#keep(rejection);
      else if (isNews) this.#suspectUpstream(rejection);
    }
    this.#marking ??= this.#markAll().finally(() => (this.#marking = undefined));
    await this.#marking;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    await this.#marking;
  }

  /** What does not fit is told of again with its next request. */
  #keep(rejection: Rejection): void {
    if (this.#unmarked.size < brokerLimits.unmarkedRejectionsMax) this.#unmarked.set(keyOf(rejection), rejection);
  }

  #suspectUpstream({ server }: Rejection): void {
    this.#options.observer.keyRejection('upstreamSuspected');
    this.#options.log.warn('an upstream refuses several users at once: no key is marked', {
      namespace: server.namespace,
      server: server.name,
    });
  }

  async #markAll(): Promise<void> {
    for (const [key, rejection] of this.#unmarked) {
      try {
        this.#options.observer.keyRejection(await markRejected(this.#options, rejection));
        this.#unmarked.delete(key);
      } catch (error) {
        this.#options.observer.keyRejection('failed');
        this.#options.log.error('a rejected key could not be marked', error instanceof Error ? { error } : {});
        return;
      }
    }
  }
}

/** The key of an organization is one key, whoever used it. */
function ofWhoseKey(outcome: KeyOutcome): KeyOutcome {
  return outcome.keySource === 'shared' ? { ...outcome, subjectKey: sharedKeyOwner } : outcome;
}

function keyOf({ server, subjectKey }: Rejection): string {
  return `${server.namespace}/${server.name}/${subjectKey}`;
}
