import { expect, test } from 'vitest';
import { flushHead, isPlainEventStream } from '#sidecar/proxy/head-flush.ts';
import { streamOf } from './world.ts';

test('leaves a stream alone whose first event is there', async () => {
  expect(await new Response(flushHead(streamOf('data: 1\n\n', 'data: 2\n\n'))).text()).toBe('data: 1\n\ndata: 2\n\n');
  expect(await new Response(flushHead(streamOf())).text()).toBe('');
});

test('begins a stream with a comment whose first event is late', async () => {
  const late = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.enqueue(new TextEncoder().encode('data: 1\n\n'));
      controller.close();
    },
  });
  expect(await new Response(flushHead(late)).text()).toBe(':\ndata: 1\n\n');
});

test('passes a break on', async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('reset')) });
  await expect(new Response(flushHead(broken)).text()).rejects.toThrow('reset');
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
