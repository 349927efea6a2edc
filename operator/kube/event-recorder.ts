import type { KubeClient } from './client.ts';
import { type Clock, systemClock } from './clock.ts';
import { type EventPlan, EventPlanner, type EventRequest } from './event-planner.ts';
import { isKubeError } from './errors.ts';
import { microTime } from './lease-record.ts';
import { type Log, silentLog } from './observers.ts';
import { events, type ObjectReference } from './resources.ts';

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** For example `mcpkeyring.io/operator`. */
  readonly reportingController: string;
  /** The pod. */
  readonly reportingInstance: string;
  readonly clock?: Clock;
  readonly nowUnixMs?: () => number;
  /** A short unique part for names. */
  readonly uniqueId?: () => string;
  readonly log?: Log;
}

export interface EventRecorder {
  /** Tells users what happened to an object. Returns at once; events over the limits are dropped and counted in the log. */
  record(event: EventRequest): void;
  /** Sends what waits, then nothing more. */
  close(): Promise<void>;
}

/** Events that wait to be sent; more are dropped, as telling must never hold up doing. */
export const eventsWaitingMax = 1000;

/** Longest note that the server takes. */
export const noteCharsMax = 1024;

/** Where events about cluster-scoped objects go, by convention. */
const namespaceOfClusterScope = 'default';

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new QueuedRecorder(options);
}

class QueuedRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #planner: EventPlanner;
  readonly #waiting: EventRequest[] = [];
  readonly #log: Log;
  #closed = false;
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#planner = new EventPlanner(options.uniqueId ?? (() => crypto.randomUUID().slice(0, 13)));
    this.#log = options.log ?? silentLog;
  }

  record(event: EventRequest): void {
    if (this.#closed) return;
    if (this.#waiting.length >= eventsWaitingMax) {
      this.#log.warn('too many events wait, one dropped', { reason: event.reason });
      return;
    }
    this.#waiting.push(event);
    this.#sending ??= this.#send();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sending;
  }

  async #send(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      try {
        await this.#sendOne(this.#planner.plan(event, this.#clock.nowMs()));
      } catch (error) {
        this.#log.warn('cannot record an event', {
          reason: event.reason,
          ...(error instanceof Error ? { error } : {}),
        });
      }
    }
    // In the same turn as the last look into the queue: what is recorded later starts a new round.
    this.#sending = undefined;
  }

  async #sendOne(plan: EventPlan): Promise<void> {
    switch (plan.kind) {
      case 'drop':
        this.#log.debug('an event over the rate limit was dropped', { reason: plan.event.reason });
        return;
      case 'create':
        return await this.#create(plan.name, plan.event);
      case 'repeat':
        return await this.#repeat(plan);
    }
  }

  async #create(name: string, event: EventRequest): Promise<void> {
    await this.#options.client.create(events, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: namespaceOf(event.regarding), name },
      eventTime: this.#now(),
      reportingController: this.#options.reportingController,
      reportingInstance: this.#options.reportingInstance,
      action: event.action,
      reason: event.reason,
      type: event.type,
      note: event.note.slice(0, noteCharsMax),
      regarding: event.regarding,
    });
  }

  async #repeat(plan: Extract<EventPlan, { kind: 'repeat' }>): Promise<void> {
    const ref = { namespace: namespaceOf(plan.event.regarding), name: plan.name };
    const series = { count: plan.count, lastObservedTime: this.#now() };
    try {
      // Of an event only its series may change.
      await this.#options.client.mergePatch(events, ref, { series });
    } catch (error) {
      // It expired on the server (one hour by default).
      if (!isKubeError(error, 'NotFound')) throw error;
      await this.#create(this.#planner.renamed(plan), plan.event);
    }
  }

  #now(): string {
    return microTime((this.#options.nowUnixMs ?? Date.now)());
  }
}

function namespaceOf(regarding: ObjectReference): string {
  return regarding.namespace ?? namespaceOfClusterScope;
}
