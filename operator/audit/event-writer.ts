import { Worker } from 'node:worker_threads';

import { AuditError } from './audit-error.ts';
import { auditLimits } from './audit-limits.ts';
import type { EventRow } from './event-rows.ts';
import type { WriterOptions, WriterReply, WriterRequest } from './writer-messages.ts';

export interface EventWriterOptions extends WriterOptions {
  /** Called for rows that are on disk for good and were not before, in order, even when their writer gave up waiting. */
  readonly onDurable: (rows: readonly EventRow[]) => void;
  /** Size of the file, after each transaction. */
  readonly onSize: (bytes: number) => void;
  readonly monotonicMs: () => number;
  /** Where the thread's code is; differs in a bundle. */
  readonly threadURL?: URL;
}

interface Pending {
  readonly rows: readonly EventRow[];
  readonly resolve: (added: number) => void;
  readonly reject: (error: AuditError) => void;
}

/** Runs the writer thread: hands it batches, bounds the wait, and starts it again when it died. */
export class EventWriter {
  readonly #options: EventWriterOptions;
  readonly #pending = new Map<number, Pending>();
  #thread: Worker | undefined;
  #startedAtMs = Number.NEGATIVE_INFINITY;
  #batch = 0;

  constructor(options: EventWriterOptions) {
    this.#options = options;
  }

  /** Resolves once the file is open. @throws AuditError */
  open(): Promise<void> {
    const thread = this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new AuditError('ERR_AUDIT_TIMEOUT')), auditLimits.commitTimeoutMs);
    thread.once('exit', () => reject(new AuditError('ERR_AUDIT_FAILED')));
    thread.on('message', (message: WriterReply) => {
      if (message.kind === 'opened') resolve();
      if (message.kind === 'notOpened') reject(new AuditError(message.code, { cause: new Error(message.message) }));
    });
    return promise.finally(() => clearTimeout(timer));
  }

  /** Resolves the number of rows once all are on disk. One call at a time. @throws AuditError */
  commit(rows: readonly EventRow[]): Promise<number> {
    const thread = this.#thread ?? this.#restart();
    if (thread === undefined) return Promise.reject(new AuditError('ERR_AUDIT_FAILED'));
    // A batch whose writer gave up waiting is still with the disk: no more is put on top of it.
    if (this.#pending.size > 0) return Promise.reject(new AuditError('ERR_AUDIT_TIMEOUT'));
    const batch = (this.#batch += 1);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const timer = setTimeout(() => reject(new AuditError('ERR_AUDIT_TIMEOUT')), auditLimits.commitTimeoutMs);
    this.#pending.set(batch, { rows, resolve, reject });
    post(thread, { kind: 'commit', batch, rows });
    return promise.finally(() => clearTimeout(timer));
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    thread.once('exit', () => resolve());
    post(thread, { kind: 'close' });
    const timer = setTimeout(() => void thread.terminate(), auditLimits.commitTimeoutMs);
    await promise;
    clearTimeout(timer);
  }

  #restart(): Worker | undefined {
    if (this.#options.monotonicMs() - this.#startedAtMs < auditLimits.writerRestartMs) return undefined;
    return this.#start();
  }

  #start(): Worker {
    const { path, databaseBytesMax, threadURL = defaultThreadURL() } = this.#options;
    this.#startedAtMs = this.#options.monotonicMs();
    // The thread needs neither the environment nor the arguments of the process.
    const thread = new Worker(threadURL, { workerData: { path, databaseBytesMax }, env: {}, argv: [], execArgv: [] });
    thread.on('message', (message: WriterReply) => this.#take(message));
    thread.on('error', () => undefined);
    thread.on('exit', () => this.#lose(thread));
    this.#thread = thread;
    return thread;
  }

  #take(message: WriterReply): void {
    if (message.kind === 'opened' || message.kind === 'committed') this.#options.onSize(message.sizeBytes);
    if (message.kind === 'committed') this.#settle(message);
    if (message.kind === 'failed') {
      const cause = new Error(message.message);
      this.#forget(message.batch)?.reject(new AuditError(message.code, { cause }));
    }
    if (message.kind === 'notOpened') void this.#thread?.terminate();
  }

  #settle(message: Extract<WriterReply, { kind: 'committed' }>): void {
    const pending = this.#forget(message.batch);
    if (pending === undefined) return;
    this.#options.onDurable(pending.rows.filter((_, index) => message.settled[index] === true));
    pending.resolve(pending.rows.length);
  }

  #forget(batch: number): Pending | undefined {
    const pending = this.#pending.get(batch);
    this.#pending.delete(batch);
    return pending;
  }

  #lose(thread: Worker): void {
    if (this.#thread === thread) this.#thread = undefined;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of lost) pending.reject(new AuditError('ERR_AUDIT_FAILED'));
  }
}

function post(thread: Worker, request: WriterRequest): void {
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  thread.postMessage(request);
}

/** The bundle puts the thread beside the program as `audit-writer.js`. */
function defaultThreadURL(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './audit-writer.js', import.meta.url);
}
