import type { RequestDecision } from '#contract/audit.ts';
import type { AuditEvent, RefusedRequests, RequestRecord } from '#operator/audit/audit-log.ts';
import { isOfNobody } from '#operator/audit/refused-requests.ts';

import { brokerLimits } from './limits.ts';
import type { BrokerObserver } from './metrics.ts';
import { CountWindow } from './windows.ts';

export interface RefusalCountsOptions {
  readonly observer: Pick<BrokerObserver, 'requestsCounted'>;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
  readonly newId: () => string;
}

/** A report with what the broker knows about it. */
export type ReportedRequest = RequestRecord & Required<Pick<RequestRecord, 'reportedBy'>>;

/** One count of one pod. */
interface Tally {
  readonly endsAtMs: number;
  readonly first: Omit<RefusedRequests, 'count' | 'decisions' | 'firstAt' | 'lastAt' | 'complete'>;
  readonly decisions: Partial<Record<RequestDecision, number>>;
  count: number;
  firstAt: string;
  lastAt: string;
}

interface PodReports {
  endsAtMs: number;
  /** Ids of what is recorded by itself, in this minute and in the one before. */
  single: Set<string>;
  singleBefore: Set<string>;
  tally: Tally | undefined;
  /** What was counted last, so that a report that is repeated is not counted twice. */
  readonly counted: Map<number, Tally>;
}

/**
 * Keeps strangers from filling the disk with requests that are refused before anybody knows who they are: of each pod the first in a
 * minute are recorded one by one, the rest is one count. Requests of users are never touched.
 */
export class RefusalCounts {
  readonly #options: RefusalCountsOptions;
  /** By organization. */
  readonly #all: CountWindow;
  /** Map order is use order. */
  readonly #pods = new Map<string, PodReports>();
  /** Counts whose last word is not on disk yet. */
  readonly #open = new Map<string, Tally>();

  constructor(options: RefusalCountsOptions) {
    this.#options = options;
    const { windowMs, refusalsRecordedMax: countMax } = brokerLimits;
    const { recordGroupsMax: keysMax } = brokerLimits;
    this.#all = new CountWindow({ windowMs, countMax, keysMax, monotonicMs: options.monotonicMs });
  }

  /** What has to be durable before `reports` may be acknowledged. */
  sort(reports: readonly ReportedRequest[]): readonly AuditEvent[] {
    const events: AuditEvent[] = [];
    const touched = new Set<Tally>();
    for (const report of reports) {
      const tally = isOfNobody(report) ? this.#tallyFor(report) : undefined;
      if (tally === undefined) events.push(report);
      else touched.add(tally);
    }
    const counts = [...touched].filter(({ first }) => this.#open.has(first.id));
    return [...events, ...counts.map((tally) => snapshot(tally, false))];
  }

  /** The counts whose minute is over, or all: to be made durable, and then settled. */
  due(which: 'ended' | 'all'): readonly RefusedRequests[] {
    const nowMs = this.#options.monotonicMs();
    const due = [...this.#open.values()].filter(({ endsAtMs }) => which === 'all' || endsAtMs <= nowMs);
    return due.map((tally) => snapshot(tally, true));
  }

  /** Their last word is on disk. */
  settle(counts: readonly RefusedRequests[]): void {
    for (const { id } of counts) this.#open.delete(id);
  }

  /** Undefined: the request is recorded by itself. */
  #tallyFor(report: ReportedRequest): Tally | undefined {
    const pod = this.#podOf(report);
    if (pod.single.has(report.id) || pod.singleBefore.has(report.id)) return undefined;
    const tail = tailOf(report.id);
    const known = pod.counted.get(tail);
    if (known !== undefined) return known;
    if (pod.single.size < brokerLimits.refusalsRecordedPerPodMax && this.#all.take(report.organization ?? '')) {
      pod.single.add(report.id);
      return undefined;
    }
    const tally = (pod.tally ??= this.#begin(report, pod.endsAtMs));
    count(tally, report);
    this.#options.observer.requestsCounted(1);
    pod.counted.set(tail, tally);
    if (pod.counted.size > brokerLimits.repeatsKnownPerPodMax) forgetFirst(pod.counted);
    return tally;
  }

  #begin({ organization, server, reportedBy, at }: ReportedRequest, endsAtMs: number): Tally {
    const { newId, now } = this.#options;
    const place = organization === undefined ? { server } : { organization, server };
    const first = { id: newId(), at: now().toISOString(), type: 'request.refused', ...place, reportedBy } as const;
    const tally = { endsAtMs, first, decisions: {}, count: 0, firstAt: at, lastAt: at };
    this.#open.set(first.id, tally);
    if (this.#open.size > brokerLimits.openCountsMax) forgetFirst(this.#open);
    return tally;
  }

  #podOf({ reportedBy, server }: ReportedRequest): PodReports {
    const key = `${reportedBy.uid} ${server.namespace}/${server.name}`;
    const nowMs = this.#options.monotonicMs();
    const pod = this.#pods.get(key) ?? newPod();
    this.#pods.delete(key);
    this.#pods.set(key, pod);
    if (this.#pods.size > brokerLimits.refusingPodsMax) forgetFirst(this.#pods);
    if (nowMs >= pod.endsAtMs) turn(pod, nowMs + brokerLimits.windowMs);
    return pod;
  }
}

function newPod(): PodReports {
  const single = new Set<string>();
  return { endsAtMs: -Infinity, single, singleBefore: single, tally: undefined, counted: new Map() };
}

function turn(pod: PodReports, endsAtMs: number): void {
  pod.endsAtMs = endsAtMs;
  pod.singleBefore = pod.single;
  pod.single = new Set();
  pod.tally = undefined;
}

function count(tally: Tally, { decision, at }: ReportedRequest): void {
  tally.count += 1;
  tally.decisions[decision] = (tally.decisions[decision] ?? 0) + 1;
  if (at < tally.firstAt) tally.firstAt = at;
  if (at > tally.lastAt) tally.lastAt = at;
}

function snapshot({ first, count: counted, decisions, firstAt, lastAt }: Tally, complete: boolean): RefusedRequests {
  return { ...first, count: counted, decisions: { ...decisions }, firstAt, lastAt, complete };
}

/** The last 48 bits of a UUID, the random ones of every version that sidecars make: a number is a fifth of the text. */
function tailOf(uuid: string): number {
  return Number.parseInt(uuid.slice(-12), 16);
}

function forgetFirst(map: Map<unknown, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
