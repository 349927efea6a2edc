import type { DeleteOptions, NewObject, ObjectRef } from '#operator/kube/client.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from '#operator/kube/resources.ts';

/** What every `decide` returns: writes in the order they must happen, the status to record after them, and when to look again. */
export interface Decision<Status extends StatusBase = StatusBase, Action = never> {
  /** Done in this order; the first that fails ends the reconcile, so a later step may rely on an earlier one. */
  readonly steps: readonly Step<Action>[];
  /** The whole status. Absent: it stays as it is, because the object is going away or because it is too early to say. */
  readonly status?: Status;
  /** Planned return; expected waiting is not an error. */
  readonly requeueAfterMs?: number;
}

/** The part of a status that the runner understands. */
export interface StatusBase {
  readonly observedGeneration?: number | undefined;
  readonly conditions?: readonly Condition[] | undefined;
}

export type Step<Action = never> =
  /**
   * Server-side apply; skipped when `observed` already says the same. Unless it `adopts`, an object that has another owner than
   * the desired one is left alone and the step fails: nobody gets at it by giving an object of ours the right name.
   */
  | {
      readonly kind: 'apply';
      readonly type: ResourceType;
      readonly desired: DesiredObject;
      readonly observed?: KubeObject;
      readonly adopts?: true;
    }
  /** Delete what was observed, not a later object of the same name. */
  | {
      readonly kind: 'delete';
      readonly type: ResourceType;
      readonly ref: ObjectRef;
      readonly precondition: DeleteOptions;
    }
  /** Replace the finalizers of the reconciled object, guarded by the observed resourceVersion. */
  | { readonly kind: 'finalizers'; readonly finalizers: readonly string[] }
  /** What only this controller knows how to do (`Definition.act`). */
  | { readonly kind: 'act'; readonly action: Action };

/** An object as we want it: exactly the fields that our field manager owns. */
export type DesiredObject = NewObject<KubeObject> & { readonly [field: string]: unknown };
