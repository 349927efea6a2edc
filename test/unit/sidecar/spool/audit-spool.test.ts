import { expect, test } from 'vitest';
import type { RequestEvent } from '#contract/audit.ts';
import { auditBatchMax } from '#contract/audit.ts';
import { AuditSpool, type SpoolLimits } from '#sidecar/spool/audit-spool.ts';

const limits: SpoolLimits = { eventsMax: 2_000, lingerMs: 5, backoff: { firstMs: 1, mostMs: 4 } };

function event(index: number, more: Partial<RequestEvent> = {}): RequestEvent {
  return {
    id: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    at: '2026-11-24T00:00:00.000Z',
    type: 'request',
    server: { namespace: 'a', name: 'b' },
    httpMethod: 'POST',
    decision: 'forwarded',
    httpStatus: 200,
    durationMs: 1,
    requestBytes: 1,
    responseBytes: 1,
    ...more,
  };
}

function set(
  answer: (batch: readonly string[], call: number) => number | Error = (batch) => batch.length,
  change: Partial<SpoolLimits> = {},
) {
  const batches: string[][] = [];
  const told: string[] = [];
  const spool = new AuditSpool({
    send: async (batch) => {
      batches.push(batch.map((text) => (JSON.parse(text) as RequestEvent).id));
      const result = answer(batch, batches.length);
      if (result instanceof Error) throw result;
      return result;
    },
    observer: {
      sent: (events) => told.push(`sent ${events}`),
      failed: () => told.push('failed'),
      full: () => told.push('full'),
    },
    limits: { ...limits, ...change },
  });
  const put = (count: number, more: Partial<RequestEvent> = {}): void => {
    for (let index = 0; index < count; index += 1) {
      if (spool.reserve()) spool.fill(event(index, more));
    }
  };
  return { spool, batches, told, put };
}

test('sends what came together as one batch', async () => {
  const { spool, batches, put } = set();
  put(3);
  expect(await spool.flush(1_000)).toBe(0);
  expect(batches.map((batch) => batch.length)).toEqual([3]);
});

test('sends no more at a time than the broker takes, in order', async () => {
  const { spool, batches, put } = set();
  put(auditBatchMax * 2 + 1);
  expect(await spool.flush(1_000)).toBe(0);
  expect(batches.map((batch) => batch.length)).toEqual([auditBatchMax, auditBatchMax, 1]);
  expect(batches.flat()).toEqual(Array.from({ length: auditBatchMax * 2 + 1 }, (_, index) => event(index).id));
});

test('sends less at a time when events are large', async () => {
  const { spool, batches, put } = set();
  put(20, { subject: { issuer: 'i', id: 'x'.repeat(100_000), name: '' } });
  expect(await spool.flush(1_000)).toBe(0);
  expect(batches.length).toBeGreaterThanOrEqual(3);
  expect(batches.flat()).toHaveLength(20);
});

test('sends a batch again, with the same ids, until all of it is accepted', async () => {
  const { spool, batches, told, put } = set(
    (batch, call) => [new Error('reset'), batch.length - 1, batch.length][call - 1] ?? 0,
  );
  put(2);
  expect(await spool.flush(1_000)).toBe(0);
  expect(batches[1]).toEqual(batches[0]);
  expect(batches[2]).toEqual(batches[0]);
  expect(told).toEqual(['failed', 'failed', 'sent 2']);
});

test('has no place for more than it may hold, events of requests under way among them', async () => {
  const state = { up: false };
  const { spool, told, put } = set((batch) => (state.up ? batch.length : new Error('down')), { eventsMax: 3 });
  put(2);
  expect(spool.reserve()).toBe(true);
  expect(spool.reserve()).toBe(false);
  expect(told).toContain('full');
  spool.fill(event(9));
  expect(spool.reserve()).toBe(false);
  state.up = true;
  expect(await spool.flush(1_000)).toBe(0);
  expect(spool.reserve()).toBe(true);
});

test('says how many events it could not send in time', async () => {
  const { spool, put } = set(() => new Error('down'));
  put(4);
  expect(await spool.flush(30)).toBe(4);
});
