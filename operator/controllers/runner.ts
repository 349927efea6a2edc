import type { KubeClient, NewObject } from '#operator/kube/client.ts';
import type { Reconcile } from '#operator/kube/controller-runner.ts';
import { type RequestKey, requestKeyOf } from '#operator/kube/request-key.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

import type { Decision, StatusBase, Step } from './decision.ts';
import { eventsOf, type ObjectEvent } from './events.ts';
import { assertOwned } from './ownership.ts';
import { announcedStatus, failedStatus, failureOf } from './progress.ts';
import { fingerprinted, isApplied, sameStatus } from './same.ts';
import type { WrittenVersions } from './written-versions.ts';

export type Reconciled = KubeObject & { readonly status?: StatusBase };

/** One kind of controller: what it looks at and what it makes of it. */
export interface Definition<T extends Reconciled, Observed extends { readonly object: T }, Action = never> {
  /** Also names the field manager, so it never changes. */
  readonly name: string;
  readonly type: ResourceType<T>;
  /** Whether `Ready=Unknown` is written before the first steps, because they may take a while. */
  readonly announces: boolean;
  /** Fields of the status that somebody else writes. They are left alone. */
  readonly foreignStatusFields?: readonly string[];
  /** Reads informer caches only. `undefined`: there is nothing of that name (any more). */
  observe(key: RequestKey): Observed | undefined;
  /** Pure. */
  decide(observed: Observed, now: Date): Decision<NonNullable<T['status']>, Action>;
  /** Carries out what is no plain write. */
  act?(action: Action, signal: AbortSignal): Promise<void>;
}

export interface RunnerDependencies {
  readonly client: Pick<KubeClient, 'get' | 'apply' | 'delete' | 'mergePatch'>;
  /** Returns at once: an event that is lost harms nobody. */
  readonly recordEvent: (regarding: KubeObject, event: ObjectEvent) => void;
  readonly written: WrittenVersions;
  readonly now: () => Date;
}

/** How soon to look again when the cache does not show our own last write yet. */
const barrierDelayMs = 50;

/** Name under which the API server books the fields of a controller. */
export function fieldManagerOf(controller: string): string {
  return `mcp-keyring-${controller}`;
}

/** The only writer: observe, decide, then every step, then the status, then the events. Writes nothing that is so already. */
export function reconcileWith<T extends Reconciled, Observed extends { readonly object: T }, Action>(
  definition: Definition<T, Observed, Action>,
  deps: RunnerDependencies,
): Reconcile {
  return async (key, signal) => {
    const observed = definition.observe(key);
    if (observed === undefined) return {};
    if (deps.written.isBehind(observed.object)) return { requeueAfterMs: barrierDelayMs };
    const decision = definition.decide(observed, deps.now());
    const run = new Run({ definition, deps, signal, object: observed.object });
    await run.carryOut(decision);
    return decision.requeueAfterMs === undefined ? {} : { requeueAfterMs: decision.requeueAfterMs };
  };
}

interface RunContext<T extends Reconciled, Observed extends { readonly object: T }, Action> {
  readonly definition: Definition<T, Observed, Action>;
  readonly deps: RunnerDependencies;
  readonly signal: AbortSignal;
  readonly object: T;
}

class Run<T extends Reconciled, Observed extends { readonly object: T }, Action> {
  readonly #context: RunContext<T, Observed, Action>;
  readonly #fieldManager: string;
  /** Our part of the status as the API server has it after our last write. */
  #status: StatusBase | undefined;

  constructor(context: RunContext<T, Observed, Action>) {
    this.#context = context;
    this.#fieldManager = fieldManagerOf(context.definition.name);
    this.#status = withoutFields(context.object.status, context.definition.foreignStatusFields ?? []);
  }

  async carryOut(decision: Decision<NonNullable<T['status']>, Action>): Promise<void> {
    const { definition, deps, object } = this.#context;
    if (definition.announces && decision.steps.length > 0 && decision.status !== undefined) {
      const announced = announcedStatus(object, deps.now());
      if (announced !== undefined) await this.#writeStatus(announced);
    }
    try {
      for (const step of decision.steps) await this.#perform(step);
    } catch (error) {
      await this.#reportFailure(error);
      throw error;
    }
    if (decision.status !== undefined) await this.#writeStatus(decision.status);
  }

  async #perform(step: Step<Action>): Promise<void> {
    const { definition, deps, signal } = this.#context;
    switch (step.kind) {
      case 'apply':
        await this.#apply(step);
        return;
      case 'delete':
        await deps.client.delete(step.type, step.ref, { ...step.precondition, signal });
        return;
      case 'finalizers':
        await this.#setFinalizers(step.finalizers);
        return;
      case 'act':
        await definition.act?.(step.action, signal);
        return;
      default:
        step satisfies never;
    }
  }

  async #apply(step: Extract<Step<Action>, { kind: 'apply' }>): Promise<void> {
    const { client } = this.#context.deps;
    const { signal } = this.#context;
    const { type, desired, observed } = step;
    if (isApplied(desired, observed)) return;
    if (step.adopts !== true) {
      const { name = '', namespace } = desired.metadata;
      const ref = namespace === undefined ? { name } : { namespace, name };
      // What is not ours is not in the cache, which holds only what carries our label.
      const existing = observed ?? (await client.get(type, ref, { signal }));
      if (existing !== undefined) assertOwned(existing, desired);
    }
    await client.apply(type, fingerprinted(desired), { fieldManager: this.#fieldManager, signal });
  }

  async #setFinalizers(finalizers: readonly string[]): Promise<void> {
    const { definition, deps, signal, object } = this.#context;
    const { uid, resourceVersion } = object.metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers } };
    deps.written.record(await deps.client.mergePatch(definition.type, requestKeyOf(object), patch, { signal }));
  }

  async #writeStatus(status: StatusBase): Promise<void> {
    const { definition, deps, signal, object } = this.#context;
    if (sameStatus(status, this.#status)) return;
    const { uid } = object.metadata;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- an apply names only the fields it owns
    const desired = {
      apiVersion: object.apiVersion,
      kind: object.kind,
      // The uid makes the server refuse when the object was replaced by another of the same name.
      metadata: { ...requestKeyOf(object), ...(uid === undefined ? {} : { uid }) },
      status,
    } as unknown as NewObject<T>;
    const options = { fieldManager: this.#fieldManager, subresource: 'status', signal } as const;
    const stored = await deps.client.apply(definition.type, desired, options);
    deps.written.record(stored);
    for (const event of eventsOf(this.#status?.conditions, status.conditions ?? [])) {
      deps.recordEvent(object, event);
    }
    this.#status = status;
  }

  /** Says in the status what the API server refused, so that the user need not read our log. */
  async #reportFailure(error: unknown): Promise<void> {
    const { object, deps } = this.#context;
    const failure = failureOf(error);
    if (failure === undefined) return;
    const status = failedStatus({ object, status: this.#status, failure, now: deps.now() });
    try {
      await this.#writeStatus(status);
    } catch {
      // The first error is the one to throw; this write comes again with the next attempt.
    }
  }
}

function withoutFields(status: StatusBase | undefined, fields: readonly string[]): StatusBase | undefined {
  if (status === undefined || fields.length === 0) return status;
  return Object.fromEntries(Object.entries(status).filter(([field]) => !fields.includes(field)));
}
