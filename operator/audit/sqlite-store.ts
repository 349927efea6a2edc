import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

import { type EventRow, openOutcome } from './event-rows.ts';

/**
 * An id is unique within its type, so that no sidecar can take the place of an event of ours by sending its id first.
 * `seq` gives the order in which events became durable.
 */
const schema = `
  CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    at TEXT NOT NULL,
    type TEXT NOT NULL,
    organization TEXT,
    namespace TEXT,
    server TEXT,
    issuer TEXT,
    subject TEXT,
    outcome TEXT,
    key_version INTEGER,
    lease_id TEXT,
    json TEXT NOT NULL,
    UNIQUE (id, type)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS event_by_at ON event (at);
  CREATE INDEX IF NOT EXISTS event_by_server ON event (namespace, server, seq);
  CREATE INDEX IF NOT EXISTS event_by_subject ON event (issuer, subject, seq);
  CREATE INDEX IF NOT EXISTS event_open ON event (seq) WHERE outcome = '${openOutcome}';
  PRAGMA user_version = 1;
`;

const insertSql = `
  INSERT INTO event (id, at, type, organization, namespace, server, issuer, subject, outcome, key_version, lease_id, json)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (id, type) DO NOTHING
`;

/** A count goes on in its row until it is complete; no other row changes. */
const countSql = `
  UPDATE event SET outcome = ?, json = ?
  WHERE id = ? AND type = ? AND type = 'request.refused' AND outcome = '${openOutcome}'
`;

/** The writing side. Synchronous: it waits for the disk, so it lives in a thread of its own. */
export class SqliteStore {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #count: StatementSync;
  readonly #pages: StatementSync;
  readonly #pageBytes: number;

  /** @throws whatever SQLite says; `auditCodeOf` turns it into a code */
  constructor(path: string, databaseBytesMax: number) {
    this.#database = new DatabaseSync(path, { timeout: 1_000 });
    this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    this.#pageBytes = numberOf(this.#database.prepare('PRAGMA page_size'), 'page_size');
    this.#database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(databaseBytesMax / this.#pageBytes))}`);
    this.#database.exec(schema);
    this.#insert = this.#database.prepare(insertSql);
    this.#count = this.#database.prepare(countSql);
    this.#pages = this.#database.prepare('PRAGMA page_count');
  }

  /** What counts against the largest size. */
  get sizeBytes(): number {
    return numberOf(this.#pages, 'page_count') * this.#pageBytes;
  }

  /** All rows in one transaction: on return they are on disk. For each row, whether it is final now and was not before. */
  commit(rows: readonly EventRow[]): readonly boolean[] {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const added = rows.map((row) => this.#add(row));
      this.#database.exec('COMMIT');
      return added;
    } catch (error) {
      // SQLite has rolled back by itself after some errors, a full disk among them.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }

  #add(row: EventRow): boolean {
    const { changes } = this.#insert.run(
      row.id,
      row.at,
      row.type,
      row.organization,
      row.namespace,
      row.server,
      row.issuer,
      row.subject,
      row.outcome,
      row.keyVersion,
      row.leaseId,
      row.json,
    );
    return this.#isChanged(row, Number(changes)) && row.outcome !== openOutcome;
  }

  #isChanged(row: EventRow, inserted: number): boolean {
    if (inserted === 1) return true;
    return Number(this.#count.run(row.outcome, row.json, row.id, row.type).changes) === 1;
  }
}

function numberOf(statement: StatementSync, column: string): number {
  const value = statement.get()?.[column];
  return typeof value === 'number' ? value : 0;
}

/** The reading side, which never waits for the writer. */
export class SqliteReader {
  readonly #database: DatabaseSync;
  readonly #recent: StatementSync;
  readonly #open: StatementSync;

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 1_000 });
    this.#recent = this.#database.prepare('SELECT json FROM event ORDER BY seq DESC LIMIT ?');
    this.#open = this.#database.prepare(`SELECT json FROM event WHERE outcome = '${openOutcome}' ORDER BY seq LIMIT ?`);
  }

  /** JSON of the counts that were never completed, oldest first. */
  open(limit: number): readonly string[] {
    return this.#open.all(limit).map(jsonOf);
  }

  /** JSON of the newest events, newest first. */
  recent(limit: number): readonly string[] {
    return this.#recent.all(limit).map(jsonOf);
  }

  close(): void {
    this.#database.close();
  }
}

function jsonOf(row: Readonly<Record<string, unknown>>): string {
  return typeof row['json'] === 'string' ? row['json'] : '';
}
