import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import type { AuditLog, RefusedRequests } from '#operator/audit/audit-log.ts';
import { createAuditObserver } from '#operator/audit/audit-metrics.ts';
import { openSqliteAuditLog } from '#operator/audit/sqlite-audit-log.ts';
import type { SqliteAuditLogOptions } from '#operator/audit/sqlite-audit-log.ts';
import { createLineSink } from '#operator/audit/stdout-sink.ts';
import { leaseEvent, oneOfEach, silentAuditObserver } from '#test/support/audit-events.ts';

let folder: string;
let log: AuditLog | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-'));
});

afterEach(async () => {
  await log?.close();
  log = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function open(options: Partial<SqliteAuditLogOptions> = {}): Promise<AuditLog> {
  log = await openSqliteAuditLog({
    path: join(folder, 'log', 'audit.db'),
    sink: () => undefined,
    observer: silentAuditObserver,
    monotonicMs: () => performance.now(),
    ...options,
  });
  return log;
}

/** What another process finds in the file. */
function countInFile(): number {
  const database = new DatabaseSync(join(folder, 'log', 'audit.db'), { readOnly: true });
  const count = Number(database.prepare('SELECT count(*) AS n FROM event').get()?.['n']);
  database.close();
  return count;
}

describe('the SQLite audit log', () => {
  test('has every kind of event in the file when append resolves, and gives them back newest first', async () => {
    const audit = await open();
    const events = oneOfEach();
    for (const event of events) await audit.append(event);
    expect(countInFile()).toBe(events.length);
    expect(audit.recent(100)).toEqual(events.toReversed());
    expect(audit.recent(2)).toHaveLength(2);
  });

  test('commits with WAL and full synchronisation', async () => {
    const audit = await open();
    await audit.append(leaseEvent());
    const database = new DatabaseSync(join(folder, 'log', 'audit.db'), { readOnly: true });
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    database.close();
    expect(statSync(join(folder, 'log')).mode & 0o777).toBe(0o700);
  });

  test('keeps one record and prints one line when a batch is sent twice', async () => {
    const lines: string[] = [];
    const audit = await open({ sink: createLineSink((line) => lines.push(line)) });
    const events = oneOfEach();
    expect(await audit.appendAll(events)).toBe(events.length);
    expect(await audit.appendAll(events)).toBe(events.length);
    expect(countInFile()).toBe(events.length);
    expect(lines.map((line) => JSON.parse(line))).toEqual(events.map((audit) => ({ audit })));
    expect(lines.every((line) => line.endsWith('}\n') && line.indexOf('\n') === line.length - 1)).toBe(true);
  });

  test('does not let a reported event take the place of a lease with the same id', async () => {
    const audit = await open();
    const lease = leaseEvent();
    const reported = oneOfEach().find((event) => event.type === 'request')!;
    await audit.append({ ...reported, id: lease.id });
    await audit.append(lease);
    expect(audit.recent(10).map((event) => event.type)).toEqual(['lease', 'request']);
  });

  test('keeps events over a restart', async () => {
    const first = await open();
    const event = leaseEvent();
    await first.append(event);
    await first.close();
    const second = await open();
    expect(second.recent(10)).toEqual([event]);
  });

  test('rejects with a clear code when the log may not grow, loses nothing that it accepted, and says so in the metrics', async () => {
    const registry = new Registry();
    const lines: string[] = [];
    const audit = await open({
      databaseBytesMax: 120_000,
      sink: (json) => lines.push(json),
      observer: createAuditObserver(registry),
    });
    let accepted = 0;
    const fill = async (): Promise<never> => {
      for (;;) {
        await audit.append(leaseEvent());
        accepted += 1;
      }
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ERR_AUDIT_DISK_FULL' });
    expect(accepted).toBeGreaterThan(50);
    expect(countInFile()).toBe(accepted);
    expect(lines).toHaveLength(accepted);
    await expect(audit.append(leaseEvent())).rejects.toMatchObject({ code: 'ERR_AUDIT_DISK_FULL' });
    const text = await registry.metrics();
    expect(text).toContain('mcpkeyring_audit_rejected_total{code="ERR_AUDIT_DISK_FULL"} 2');
    expect(text).toContain('mcpkeyring_audit_bytes_max 120000');
    expect(Number(/^mcpkeyring_audit_bytes (\d+)$/mu.exec(text)?.[1])).toBeGreaterThan(110_000);
    expect(text).toContain(`mcpkeyring_audit_events_total{type="lease"} ${accepted}`);
  });

  test('rejects all of a batch when one of its events is invalid', async () => {
    const audit = await open();
    await expect(audit.appendAll([leaseEvent(), { ...leaseEvent(), keyVersion: -1 }])).rejects.toMatchObject({
      code: 'ERR_AUDIT_EVENT_INVALID',
    });
    expect(countInFile()).toBe(0);
  });

  test('does not open where no file can be made', async () => {
    await expect(open({ path: '/proc/nowhere/audit.db' })).rejects.toMatchObject({ code: 'ERR_AUDIT_CANNOT_OPEN' });
    await expect(open({ path: folder })).rejects.toMatchObject({ code: 'ERR_AUDIT_CANNOT_OPEN' });
  });

  test('does not open a file that is no database', async () => {
    const path = join(folder, 'text');
    writeFileSync(path, 'no database at all, but long enough to have a header. '.repeat(40));
    await expect(open({ path })).rejects.toMatchObject({ code: 'ERR_AUDIT_CORRUPT' });
  });

  test('rejects after close', async () => {
    const audit = await open();
    await audit.close();
    await expect(audit.append(leaseEvent())).rejects.toMatchObject({ code: 'ERR_AUDIT_CLOSED' });
  });

  test('rejects what a dying writer thread held, and works again with a new one', async () => {
    let nowMs = 0;
    const thread = join(folder, 'dies-once.ts');
    const real = pathToFileURL(join(import.meta.dirname, '../../../operator/audit/writer-thread.ts')).href;
    writeFileSync(
      thread,
      `import { parentPort, workerData } from 'node:worker_threads';
       import { existsSync, writeFileSync } from 'node:fs';
       const mark = workerData.path + '.died';
       if (existsSync(mark)) await import(${JSON.stringify(real)});
       else {
         parentPort.postMessage({ kind: 'opened', sizeBytes: 0 });
         parentPort.on('message', () => { writeFileSync(mark, ''); process.exit(1); });
       }`,
    );
    mkdirSync(join(folder, 'log'));
    const audit = await open({ threadURL: pathToFileURL(thread), monotonicMs: () => nowMs });
    await expect(audit.append(leaseEvent())).rejects.toMatchObject({ code: 'ERR_AUDIT_FAILED' });
    await expect(audit.append(leaseEvent())).rejects.toMatchObject({ code: 'ERR_AUDIT_FAILED' });
    nowMs = 2_000;
    await audit.append(leaseEvent());
    expect(countInFile()).toBe(1);
  });

  test('makes 1000 events a second durable', async () => {
    const registry = new Registry();
    const audit = await open({ observer: createAuditObserver(registry) });
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 2_000 }, () => audit.append(leaseEvent())));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(await registry.metrics()).toContain('mcpkeyring_audit_commit_duration_seconds_count');
  });
});

describe('a count of refused requests', () => {
  const lines: string[] = [];
  const sink = (json: string): void => void lines.push(json);
  const counted = (change: Partial<RefusedRequests> = {}): RefusedRequests => {
    const event = oneOfEach().find(({ type }) => type === 'request.refused') as RefusedRequests;
    return { ...event, id: 'count-1', complete: false, ...change };
  };

  beforeEach(() => void lines.splice(0));

  test('goes on in its row, is printed once when it is complete, and never changes afterwards', async () => {
    const audit = await open({ sink });
    await audit.append(counted({ count: 10 }));
    await audit.append(leaseEvent());
    await audit.append(counted({ count: 20 }));
    expect(lines).toHaveLength(1);
    expect(audit.recent(10)).toMatchObject([{ type: 'lease' }, { count: 20, complete: false }]);
    await audit.append(counted({ count: 30, complete: true }));
    await audit.append(counted({ count: 30, complete: true }));
    await audit.append(counted({ count: 99 }));
    expect(audit.recent(10)).toMatchObject([{ type: 'lease' }, { count: 30, complete: true }]);
    expect(lines.map((line) => JSON.parse(line).count)).toEqual([undefined, 30]);
    expect(countInFile()).toBe(2);
  });

  test('that a crash cut short is completed and printed when the log is opened again', async () => {
    const before = await open({ sink });
    await before.append(counted({ count: 10 }));
    await before.close();
    expect(lines).toEqual([]);
    await (await open({ sink })).close();
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ id: 'count-1', count: 10, complete: true }]);
    await open({ sink });
    expect(lines).toHaveLength(1);
  });

  test('takes no more room however often it goes on', async () => {
    let bytes = 0;
    const audit = await open({ observer: { ...silentAuditObserver, sized: (now) => (bytes = now) } });
    await audit.append(counted({ count: 1 }));
    const first = bytes;
    expect(first).toBeGreaterThan(0);
    for (let count = 2; count < 500; count += 1) await audit.append(counted({ count: count * 1_000 }));
    expect(countInFile()).toBe(1);
    expect(bytes).toBe(first);
  });

  test('does not keep a full log from being opened', async () => {
    const before = await open({ databaseBytesMax: 120_000 });
    await before.append(counted());
    const fill = async (): Promise<never> => {
      for (;;) await before.append(leaseEvent());
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ERR_AUDIT_DISK_FULL' });
    await before.close();
    const audit = await open({ databaseBytesMax: 120_000 });
    await expect(audit.append(leaseEvent())).rejects.toMatchObject({ code: 'ERR_AUDIT_DISK_FULL' });
  });
});
