import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EventLines } from '#sidecar/mcp/event-lines.ts';
import type { Chunks } from '#sidecar/proxy/chunks.ts';
import { EventChunks, headFlushMs } from '#sidecar/proxy/event-chunks.ts';
import { Pulse } from '#sidecar/proxy/pulse.ts';
import { verifies } from '#test/requirements.ts';
import { brokenChunks, chunksFrom, textOf } from './world.ts';

const silentMs = 15_000;
const comment = ':\n\n';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A stream that yields what a test gives it, when the test gives it. */
function set() {
  const pulse = new Pulse();
  const waiting: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  const state = { cancelled: false };
  const source: Chunks = {
    read: () => {
      const next = Promise.withResolvers<Uint8Array | undefined>();
      waiting.push(next);
      return next.promise;
    },
    cancel: () => void (state.cancelled = true),
  };
  const chunks = new EventChunks({ source, lines: new EventLines({ value: () => {}, eventEnd: () => {} }), pulse });
  const give = (chunk: string | Uint8Array | undefined): void =>
    waiting.shift()!.resolve(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
  const read = async (): Promise<string | undefined> => {
    const chunk = await chunks.read();
    return chunk === undefined ? undefined : new TextDecoder('utf-8', { ignoreBOM: true }).decode(chunk);
  };
  return { pulse, chunks, give, read, waiting, state };
}

describe(verifies('mcp:19-keep-alive'), () => {
  test('a stream whose first event is there is left alone', async () => {
    const { read, give } = set();
    const first = read();
    give('data: 1\n\n');
    expect(await first).toBe('data: 1\n\n');
    expect(vi.getTimerCount()).toBe(1);
  });

  test('a stream whose first event is late begins with a comment', async () => {
    const { read, give } = set();
    const first = read();
    await vi.advanceTimersByTimeAsync(headFlushMs);
    expect(await first).toBe(comment);
    const second = read();
    give('data: 1\n\n');
    expect(await second).toBe('data: 1\n\n');
  });

  test('15 s of silence bring a comment, and each 15 s after that', async () => {
    const { read, give, waiting } = set();
    const first = read();
    give('data: 1\n\n');
    await first;
    for (let round = 0; round < 3; round += 1) {
      const next = read();
      await vi.advanceTimersByTimeAsync(silentMs);
      expect(await next).toBe(comment);
    }
    expect(waiting).toHaveLength(1);
  });

  test('a stream that is not silent gets none', async () => {
    const { read, give } = set();
    for (let round = 0; round < 10; round += 1) {
      const next = read();
      await vi.advanceTimersByTimeAsync(round === 0 ? 1 : silentMs - 2_000);
      give(`data: ${round}\n\n`);
      expect(await next).toBe(`data: ${round}\n\n`);
    }
  });

  test.each(['data: half', 'data: line\n', 'id: 1\r', 'ev'])('nothing is put into an event: %j', async (part) => {
    const { read, give } = set();
    const first = read();
    give(part);
    await first;
    const next = read();
    await vi.advanceTimersByTimeAsync(10 * silentMs);
    give('\n\n');
    expect(await next).toBe('\n\n');
  });

  test('comments of the upstream are between events', async () => {
    const { read, give } = set();
    const first = read();
    give(': ping\n');
    await first;
    const next = read();
    await vi.advanceTimersByTimeAsync(silentMs);
    expect(await next).toBe(comment);
  });

  test('a client that does not read gets no comments', async () => {
    const { read, give } = set();
    const first = read();
    give('data: 1\n\n');
    await first;
    await vi.advanceTimersByTimeAsync(10 * silentMs);
    const next = read();
    give('data: 2\n\n');
    expect(await next).toBe('data: 2\n\n');
  });
});

test('what comes while a comment is on its way is kept, be it bytes, the end or a break', async () => {
  for (const last of ['data: 2\n\n', undefined] as const) {
    const { read, give } = set();
    const first = read();
    await vi.advanceTimersByTimeAsync(headFlushMs);
    give(last);
    expect(await first).toBe(comment);
    expect(await read()).toBe(last);
  }
  const { read, waiting } = set();
  const first = read();
  await vi.advanceTimersByTimeAsync(headFlushMs);
  waiting[0]!.reject(new Error('reset'));
  await first;
  await vi.advanceTimersByTimeAsync(1);
  await expect(read()).rejects.toThrow('reset');
});

test('an event of ours waits for its place', async () => {
  const { chunks, read, give } = set();
  const first = read();
  give('data: ha');
  expect(await first).toBe('data: ha');
  chunks.insert(new TextEncoder().encode('data: ours\n\n'));
  const second = read();
  give('lf\n\n');
  expect([await second, await read()]).toEqual(['lf\n\n', 'data: ours\n\n']);
  const third = read();
  chunks.insert(new TextEncoder().encode('data: at once\n\n'));
  expect(await third).toBe('data: at once\n\n');
});

test('a mark at the beginning of the stream stays the first thing, or goes', async () => {
  const marked = Uint8Array.of(0xef, 0xbb, 0xbf, ...new TextEncoder().encode('data: 1\n\n'));
  const early = set();
  const first = early.read();
  early.give(marked);
  expect(await first).toBe('\uFEFFdata: 1\n\n');
  const late = set();
  const comments = late.read();
  await vi.advanceTimersByTimeAsync(headFlushMs);
  expect(await comments).toBe(comment);
  const second = late.read();
  late.give(marked);
  expect(await second).toBe('data: 1\n\n');
});

test('an end, a break and a cancellation leave no timer behind', async () => {
  const ended = set();
  const all = textOf(ended.chunks);
  await vi.advanceTimersByTimeAsync(0);
  ended.give(undefined);
  expect(await all).toBe('');
  const cancelled = set();
  const read = cancelled.read();
  cancelled.chunks.cancel();
  expect(await read).toBeUndefined();
  expect(cancelled.state.cancelled).toBe(true);
  const broken = new EventChunks({
    source: brokenChunks(),
    lines: new EventLines({ value: () => {}, eventEnd: () => {} }),
    pulse: new Pulse(),
  });
  await expect(textOf(broken)).rejects.toThrow('reset');
  expect(vi.getTimerCount()).toBe(0);
});

test('one timer serves all streams', async () => {
  const pulse = new Pulse();
  const lines = (): EventLines => new EventLines({ value: () => {}, eventEnd: () => {} });
  const streams = Array.from(
    { length: 100 },
    () => new EventChunks({ source: chunksFrom('data: 1\n\n', ': x'), lines: lines(), pulse }),
  );
  for (const stream of streams) await stream.read();
  expect([pulse.size, vi.getTimerCount()]).toEqual([100, 1]);
  for (const stream of streams) stream.cancel();
  expect([pulse.size, vi.getTimerCount()]).toEqual([0, 0]);
});
