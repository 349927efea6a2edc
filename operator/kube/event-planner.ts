import { TokenBucket } from './rate-limit.ts';
import type { ObjectReference } from './resources.ts';

/** Something that happened to an object, for the people who run it. Never about a key's value. */
export interface EventRequest {
  readonly regarding: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for machines. */
  readonly reason: string;
  /** What we were doing, CamelCase. */
  readonly action: string;
  /** A sentence for a person. */
  readonly note: string;
}

export type EventPlan =
  | { readonly kind: 'create'; readonly name: string; readonly event: EventRequest }
  | { readonly kind: 'repeat'; readonly name: string; readonly count: number; readonly event: EventRequest }
  | { readonly kind: 'drop'; readonly event: EventRequest };

/** As client-go: 25 events at once for each object, then one in five minutes; more than ten alike in ten minutes become one. */
export const eventLimits = {
  burst: 25,
  perSecond: 1 / 300,
  alikeMax: 10,
  alikeWindowMs: 600_000,
  /** Objects, and kinds of events, that are remembered. */
  rememberedMax: 4096,
} as const;

interface Alike {
  readonly sinceMs: number;
  readonly notes: Set<string>;
}

interface Sent {
  name: string;
  count: number;
}

/** Decides what becomes of each event. Sends nothing itself. */
export class EventPlanner {
  readonly #uniqueId: () => string;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #alike = new Map<string, Alike>();
  readonly #sent = new Map<string, Sent>();

  constructor(uniqueId: () => string) {
    this.#uniqueId = uniqueId;
  }

  plan(event: EventRequest, nowMs: number): EventPlan {
    if (!this.#bucketOf(event, nowMs).tryTake(nowMs)) return { kind: 'drop', event };
    const combined = this.#isOneOfMany(event, nowMs);
    const planned = combined ? { ...event, note: `(combined from similar events): ${event.note}` } : event;
    // A combined event is the same one whatever its note says.
    const key = JSON.stringify([alikeKeyOf(event), combined ? undefined : event.note]);
    const sent = this.#sent.get(key);
    if (sent !== undefined) {
      sent.count += 1;
      return { kind: 'repeat', name: sent.name, count: sent.count, event: planned };
    }
    const name = this.#nameOf(event);
    remember(this.#sent, key, { name, count: 1 });
    return { kind: 'create', name, event: planned };
  }

  /** The event of that plan is gone on the server: it is made again under a new name, which this returns. */
  renamed(plan: Extract<EventPlan, { kind: 'repeat' }>): string {
    const name = this.#nameOf(plan.event);
    for (const sent of this.#sent.values()) {
      if (sent.name !== plan.name) continue;
      sent.name = name;
      sent.count = 1;
    }
    return name;
  }

  #bucketOf(event: EventRequest, nowMs: number): TokenBucket {
    const key = objectKeyOf(event.regarding);
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    return remember(this.#buckets, key, new TokenBucket({ ...eventLimits, nowMs }));
  }

  #isOneOfMany(event: EventRequest, nowMs: number): boolean {
    const key = alikeKeyOf(event);
    const known = this.#alike.get(key);
    const current =
      known !== undefined && nowMs - known.sinceMs < eventLimits.alikeWindowMs
        ? known
        : remember(this.#alike, key, { sinceMs: nowMs, notes: new Set<string>() });
    if (current.notes.size <= eventLimits.alikeMax) current.notes.add(event.note);
    return current.notes.size > eventLimits.alikeMax;
  }

  #nameOf(event: EventRequest): string {
    return `${event.regarding.name.slice(0, 200)}.${this.#uniqueId()}`;
  }
}

function objectKeyOf(regarding: ObjectReference): string {
  return JSON.stringify([regarding.kind, regarding.namespace, regarding.name, regarding.uid]);
}

function alikeKeyOf(event: EventRequest): string {
  return JSON.stringify([objectKeyOf(event.regarding), event.type, event.reason, event.action]);
}

/** Adds to a bounded map: the oldest entry makes room. */
function remember<V>(map: Map<string, V>, key: string, value: V): V {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next();
  if (map.size > eventLimits.rememberedMax && oldest.done !== true) map.delete(oldest.value);
  return value;
}
