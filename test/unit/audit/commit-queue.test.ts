import { describe, expect, test } from 'vitest';

import { AuditError } from '#operator/audit/audit-error.ts';
import { auditLimits } from '#operator/audit/audit-limits.ts';
import { CommitQueue } from '#operator/audit/commit-queue.ts';
import type { EventRow } from '#operator/audit/event-rows.ts';
import { toRow } from '#operator/audit/event-rows.ts';
import { leaseEvent } from '#test/support/audit-events.ts';

function rows(count: number): readonly EventRow[] {
  const row = toRow(leaseEvent());
  return Array.from({ length: count }, (_, index) => ({ ...row, id: `id-${index}` }));
}

/** A disk whose transactions end when the test says so. */
function slowDisk(): {
  readonly queue: CommitQueue;
  readonly batches: EventRow[][];
  readonly finish: (error?: Error) => Promise<void>;
} {
  const batches: EventRow[][] = [];
  let settle: ((error?: Error) => void) | undefined;
  const queue = new CommitQueue({
    commit: (batch) => {
      batches.push([...batch]);
      return new Promise((resolve, reject) => {
        settle = (error) => (error === undefined ? resolve(batch.length) : reject(error));
      });
    },
    onCommit: () => undefined,
    monotonicMs: () => 0,
  });
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
  return {
    queue,
    batches,
    finish: async (error) => {
      await turn();
      settle?.(error);
      await turn();
    },
  };
}

describe('group commit', () => {
  test('puts what is appended in one turn into one transaction', async () => {
    const { queue, batches, finish } = slowDisk();
    const added = Promise.all(Array.from({ length: 50 }, () => queue.add(rows(1))));
    await finish();
    await added;
    expect(batches.map((batch) => batch.length)).toEqual([50]);
    expect(queue.eventCount).toBe(0);
  });

  test('puts what is appended during a transaction into the next one', async () => {
    const { queue, batches, finish } = slowDisk();
    const first = queue.add(rows(1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const later = [queue.add(rows(2)), queue.add(rows(3))];
    await finish();
    await first;
    await finish();
    await Promise.all(later);
    expect(batches.map((batch) => batch.length)).toEqual([1, 5]);
  });

  test('resolves nothing before the disk has answered', async () => {
    const { queue, finish } = slowDisk();
    let durable = false;
    const added = queue.add(rows(1)).then(() => {
      durable = true;
      return durable;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(durable).toBe(false);
    await finish();
    await added;
    expect(durable).toBe(true);
  });

  test('writes what is appended the moment that an earlier append resolves', async () => {
    const queue = new CommitQueue({
      commit: (batch) => Promise.resolve(batch.length),
      onCommit: () => undefined,
      monotonicMs: () => 0,
    });
    for (let i = 0; i < 5; i += 1) await queue.add(rows(1));
    expect(queue.eventCount).toBe(0);
  });

  test('keeps the rows of one call together and bounds a transaction', async () => {
    const { queue, batches, finish } = slowDisk();
    const added = [queue.add(rows(600)), queue.add(rows(600)), queue.add(rows(300))];
    await finish();
    await finish();
    await Promise.all(added);
    expect(batches.map((batch) => batch.length)).toEqual([600, 900]);
    expect(Math.max(...batches.map((batch) => batch.length))).toBeLessThanOrEqual(auditLimits.batchEventsMax);
  });

  test('refuses at once when the queue is full, and takes events again when it is not', async () => {
    const { queue, finish } = slowDisk();
    const full = queue.add(rows(auditLimits.queueEventsMax));
    await expect(queue.add(rows(1))).rejects.toMatchObject({ code: 'ERR_AUDIT_QUEUE_FULL' });
    await finish();
    await full;
    const again = queue.add(rows(1));
    await finish();
    await expect(again).resolves.toBeUndefined();
  });

  test('tells everybody in a transaction that failed, and goes on with the next', async () => {
    const { queue, finish } = slowDisk();
    const lost = Promise.allSettled([queue.add(rows(1)), queue.add(rows(1))]);
    await finish(new AuditError('ERR_AUDIT_IO'));
    expect((await lost).map((result) => result.status)).toEqual(['rejected', 'rejected']);
    expect(queue.eventCount).toBe(0);
    const next = queue.add(rows(1));
    await finish();
    await expect(next).resolves.toBeUndefined();
  });
});
