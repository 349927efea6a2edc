import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

import { AuditError, auditCodeOf } from './audit-error.ts';
import { auditLimits } from './audit-limits.ts';
import type { AuditEvent, AuditLog } from './audit-log.ts';
import type { AuditObserver } from './audit-metrics.ts';
import { CommitQueue } from './commit-queue.ts';
import { readAuditEvent } from './event-fields.ts';
import type { EventRow } from './event-rows.ts';
import { toRow } from './event-rows.ts';
import { EventWriter } from './event-writer.ts';
import { SqliteReader } from './sqlite-store.ts';

export interface SqliteAuditLogOptions {
  /** File of the log; its folder is made when it is missing, the parent of that is not. One process writes one file. */
  readonly path: string;
  readonly databaseBytesMax?: number;
  /** Gets each event once, after it is durable, as the JSON that was stored. */
  readonly sink: (eventJson: string) => void;
  readonly observer: AuditObserver;
  readonly monotonicMs: () => number;
  /** Code of the writer thread, where it is not beside this file. */
  readonly threadURL?: URL;
}

/** Opens the log. @throws AuditError when it cannot be written: then no key may be handed out either */
export async function openSqliteAuditLog(options: SqliteAuditLogOptions): Promise<AuditLog> {
  makeFolder(dirname(options.path));
  const databaseBytesMax = options.databaseBytesMax ?? auditLimits.databaseBytesMax;
  options.observer.limited(databaseBytesMax);
  const writer = new EventWriter({
    path: options.path,
    databaseBytesMax,
    onDurable: (rows) => publish(rows, options),
    onSize: (bytes) => options.observer.sized(bytes),
    monotonicMs: options.monotonicMs,
    ...(options.threadURL === undefined ? {} : { threadURL: options.threadURL }),
  });
  const isNew = !existsSync(options.path);
  await writer.open();
  const log = new SqliteAuditLog(options, writer);
  if (!isNew) await log.completeCounts();
  return log;
}

function makeFolder(path: string): void {
  try {
    // Not recursive: the parent is a mounted volume, and making it instead would put the log on the node's own disk.
    if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    throw new AuditError('ERR_AUDIT_CANNOT_OPEN', { cause });
  }
}

function publish(rows: readonly EventRow[], { sink, observer }: SqliteAuditLogOptions): void {
  for (const row of rows) {
    observer.durable(row.type);
    sink(row.json);
  }
}

class SqliteAuditLog implements AuditLog {
  readonly #options: SqliteAuditLogOptions;
  readonly #writer: EventWriter;
  readonly #queue: CommitQueue;
  #reader: SqliteReader | undefined;
  #closed = false;

  constructor(options: SqliteAuditLogOptions, writer: EventWriter) {
    this.#options = options;
    this.#writer = writer;
    this.#queue = new CommitQueue({
      commit: (rows) => writer.commit(rows),
      onCommit: (_, durationMs) => options.observer.committed(durationMs / 1_000),
      monotonicMs: options.monotonicMs,
    });
  }

  async append(event: AuditEvent): Promise<void> {
    await this.appendAll([event]);
  }

  async appendAll(events: readonly AuditEvent[]): Promise<number> {
    try {
      if (this.#closed) throw new AuditError('ERR_AUDIT_CLOSED');
      const rows = events.map((event) => toRow(readAuditEvent(event)));
      const added = this.#queue.add(rows);
      this.#options.observer.waiting(this.#queue.eventCount);
      await added;
      return rows.length;
    } catch (error) {
      this.#options.observer.rejected(auditCodeOf(error), events.length);
      throw error;
    } finally {
      this.#options.observer.waiting(this.#queue.eventCount);
    }
  }

  /** Ends the counts that a crash cut short. A log that takes nothing keeps them open, and is opened all the same. */
  async completeCounts(): Promise<void> {
    const cut = this.#read()
      .open(auditLimits.openCountsMax)
      .map((json) => readAuditEvent(JSON.parse(json)));
    const counts = cut.filter((event) => event.type === 'request.refused');
    await this.appendAll(counts.map((event) => ({ ...event, complete: true }))).catch(() => undefined);
  }

  recent(limit: number): readonly AuditEvent[] {
    const newest = this.#read().recent(Math.max(0, Math.min(limit, auditLimits.recentMax)));
    return newest.map((json) => readAuditEvent(JSON.parse(json)));
  }

  #read(): SqliteReader {
    this.#reader ??= new SqliteReader(this.#options.path);
    return this.#reader;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#queue.drain();
    this.#reader?.close();
    await this.#writer.close();
  }
}
