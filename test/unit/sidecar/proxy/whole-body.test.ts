import { expect, test } from 'vitest';
import { wholeIfSmall } from '#sidecar/proxy/whole-body.ts';
import { streamOf } from './world.ts';

test('takes a body that comes at once as it is', async () => {
  expect(await wholeIfSmall(streamOf('abc'), 3)).toEqual(new TextEncoder().encode('abc'));
  expect(await wholeIfSmall(streamOf(), 3)).toEqual(new Uint8Array());
});

test('goes on as a stream when there is more to come', async () => {
  const body = await wholeIfSmall(streamOf('ab', 'cd', 'e'), 5);
  expect(body).toBeInstanceOf(ReadableStream);
  expect(await new Response(body as ReadableStream).text()).toBe('abcde');
});

test('lets go of a stream that is cancelled', async () => {
  const reasons: unknown[] = [];
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: (reason) => void reasons.push(reason),
  });
  const body = (await wholeIfSmall(source, 10)) as ReadableStream;
  await body.cancel('gone');
  expect(reasons).toEqual(['gone']);
});

test('fails when there is no first byte', async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('reset')) });
  await expect(wholeIfSmall(broken, 3)).rejects.toThrow('reset');
});
