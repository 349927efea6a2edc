import type { KubeObject } from './resource.ts';

/** Read side of an informer: the last state of every object seen, complete once `hasSynced`. */
export interface Store<T extends KubeObject> {
  get(namespace: string | undefined, name: string): T | undefined;
  getByUid(uid: string): T | undefined;
  list(): readonly T[];
  listNamespace(namespace: string): readonly T[];
  readonly size: number;
}

export type Change<T extends KubeObject> =
  | { readonly kind: 'added'; readonly object: T }
  | { readonly kind: 'updated'; readonly object: T; readonly previous: T }
  | { readonly kind: 'deleted'; readonly object: T };

/** A list-and-watch that never gives up. Handlers must only enqueue; what they throw is counted and logged, never fatal. */
export interface Informer<T extends KubeObject> {
  readonly store: Store<T>;
  readonly hasSynced: boolean;
  /** Registers a handler; it first hears `added` for everything that is in the store already. */
  onChange(handler: (change: Change<T>) => void): void;
  start(): void;
  /** Ends the watch and lists again: the caller knows that the store is behind. */
  distrust(): void;
  /** Resolves when the first list is in the store; rejects when `signal` aborts first. */
  synced(signal?: AbortSignal): Promise<void>;
  /** Resolves when nothing runs any more; no handler is called afterwards. */
  close(): Promise<void>;
}
