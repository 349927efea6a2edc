import { expect, test } from 'vitest';
import { chunksOf } from '#sidecar/proxy/chunks.ts';
import { flushHead, isPlainEventStream } from '#sidecar/proxy/head-flush.ts';
import { brokenChunks, chunksFrom, silence, textOf } from './world.ts';

test('leaves a stream alone whose first event is there', async () => {
  expect(await textOf(flushHead(chunksFrom('data: 1\n\n', 'data: 2\n\n')))).toBe('data: 1\n\ndata: 2\n\n');
  expect(await textOf(flushHead(chunksFrom()))).toBe('');
});

test('begins a stream with a comment whose first event is late', async () => {
  const late = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.enqueue(new TextEncoder().encode('data: 1\n\n'));
      controller.close();
    },
  });
  expect(await textOf(flushHead(chunksOf(late)))).toBe(':\ndata: 1\n\n');
});

test('passes a break and a cancellation on', async () => {
  await expect(textOf(flushHead(brokenChunks()))).rejects.toThrow('reset');
  let cancelled = false;
  flushHead(silence(() => (cancelled = true))).cancel();
  expect(cancelled).toBe(true);
});

test.each([
  [{ 'content-type': 'text/event-stream' }, true],
  [{ 'content-type': 'Text/Event-Stream; charset=utf-8' }, true],
  [{ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }, false],
  [{ 'content-type': 'application/json' }, false],
  [{}, false],
])('knows whether %j may begin with a comment', (headers, plain) => {
  expect(isPlainEventStream(new Headers(headers as Record<string, string>))).toBe(plain);
});
