import type { KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { type Condition, type Event, events } from '#operator/kube/resources.ts';

/** Something that happened to an object, for the people who look at it. */
export interface ObjectEvent {
  readonly type: Event['type'];
  readonly reason: string;
  readonly note: string;
}

/** The API server refuses longer notes. */
const noteCharsMax = 1_000;
/** client-go's figures: this many at once for one object, then one per refill. */
const burstMax = 25;
const refillMs = 300_000;
const objectsMax = 5_000;

export interface RecorderDependencies {
  readonly client: Pick<KubeClient, 'create'>;
  readonly controller: string;
  /** Name of this pod. */
  readonly instance: string;
  readonly now: () => Date;
  readonly newId: () => string;
  readonly onFailure: (error: unknown) => void;
}

/** Writes events, at most `burstMax` for one object and then one each five minutes. An event that is lost harms nobody. */
export class EventRecorder {
  readonly #deps: RecorderDependencies;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(deps: RecorderDependencies) {
    this.#deps = deps;
  }

  async record(regarding: KubeObject, event: ObjectEvent): Promise<void> {
    if (!this.#take(regarding.metadata.uid ?? '')) return;
    try {
      await this.#deps.client.create(events, this.#render(regarding, event));
    } catch (error) {
      this.#deps.onFailure(error);
    }
  }

  #render(regarding: KubeObject, event: ObjectEvent): Event {
    const { name, namespace, uid } = regarding.metadata;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: `${name.slice(0, 200)}.${this.#deps.newId()}`, namespace: namespace ?? 'default' },
      eventTime: this.#deps.now().toISOString().replace('Z', '000Z'),
      reportingController: this.#deps.controller,
      reportingInstance: this.#deps.instance.slice(0, 128),
      action: 'Reconcile',
      reason: event.reason,
      type: event.type,
      note: event.note.slice(0, noteCharsMax),
      regarding: {
        apiVersion: regarding.apiVersion,
        kind: regarding.kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
      },
    };
  }

  #take(uid: string): boolean {
    const nowMs = this.#deps.now().getTime();
    const bucket = this.#buckets.get(uid) ?? { tokens: burstMax, atMs: nowMs };
    const refilled = Math.floor((nowMs - bucket.atMs) / refillMs);
    const tokens = Math.min(burstMax, bucket.tokens + refilled);
    this.#buckets.delete(uid);
    this.#buckets.set(uid, { tokens: Math.max(0, tokens - 1), atMs: refilled > 0 ? nowMs : bucket.atMs });
    if (this.#buckets.size > objectsMax) this.#forgetOldest();
    return tokens > 0;
  }

  #forgetOldest(): void {
    for (const uid of this.#buckets.keys()) {
      this.#buckets.delete(uid);
      return;
    }
  }
}

/**
 * One event for each condition that changed its status or reason. What an object is born with is news only when it is bad news,
 * and a condition that merely went away (`Reconciling`) is none.
 */
export function eventsOf(
  before: readonly Condition[] | undefined,
  after: readonly Condition[],
): readonly ObjectEvent[] {
  return after.flatMap((condition) => {
    const previous = before?.find(({ type }) => type === condition.type);
    if (previous?.status === condition.status && previous.reason === condition.reason) return [];
    const bad = isBad(condition);
    if (condition.status === 'Unknown' || condition.type === 'Reconciling') return [];
    if (!bad && previous === undefined) return [];
    return [{ type: bad ? 'Warning' : 'Normal', reason: condition.reason, note: condition.message } as const];
  });
}

/** Conditions that are abnormal when true; all others are when false. */
const abnormalTrue: ReadonlySet<string> = new Set(['Stalled', 'NamespacesConflict']);

function isBad(condition: Condition): boolean {
  return (condition.status === 'True') === abnormalTrue.has(condition.type);
}
