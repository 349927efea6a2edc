/**
 * What the runtime tells whoever measures it. `telemetry/metrics.ts` implements these; nothing here depends on a metrics library.
 */

export interface RequestObserver {
  /** One attempt ended. `code` is the HTTP status or `<error>`. */
  requestEnded(sample: { readonly method: string; readonly code: string; readonly host: string }): void;
}

export interface InformerObserver {
  synced(sample: { readonly resourceVersion: string; readonly objects: number }): void;
  eventReceived(objects: number): void;
  relisted(reason: 'start' | 'expired' | 'silent'): void;
  watchEnded(outcome: 'closed' | 'failed' | 'expired' | 'silent'): void;
  handlerFailed(): void;
}

export interface WorkQueueObserver {
  added(depth: number): void;
  /** A worker took a key that had waited `waitedMs`. */
  taken(depth: number, waitedMs: number): void;
  finished(workedMs: number): void;
  retried(): void;
  /** Sum and maximum of the ages of the keys that are being worked on; called at scrape time. */
  watchUnfinished(read: () => { readonly sumMs: number; readonly longestMs: number }): void;
}

export type ReconcileResult = 'success' | 'error' | 'requeue' | 'requeue_after';

export interface ControllerObserver {
  workers(total: number): void;
  started(): void;
  ended(sample: { readonly result: ReconcileResult; readonly seconds: number }): void;
  terminalFailure(): void;
  timedOut(): void;
}

export interface LeaderObserver {
  leading(isLeader: boolean): void;
}

/** Where diagnostics go. `message` is constant; what varies is a field. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Plain values only, so that no object with a secret inside can be handed to a log by accident. */
export type LogFields = Readonly<Record<string, LogValue>>;
export type LogValue = string | number | boolean | undefined | Error | readonly string[];

export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

function ignore(): void {
  // Nobody listens.
}
