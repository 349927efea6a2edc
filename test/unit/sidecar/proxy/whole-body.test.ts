import { expect, test } from 'vitest';
import { isChunks } from '#sidecar/proxy/exchange.ts';
import { wholeIfSmall } from '#sidecar/proxy/whole-body.ts';
import { brokenChunks, chunksFrom, textOf } from './world.ts';

test('takes a body that comes at once as it is', async () => {
  expect(await wholeIfSmall(chunksFrom('abc'), 3)).toEqual(new TextEncoder().encode('abc'));
  expect(await wholeIfSmall(chunksFrom(), 3)).toEqual(new Uint8Array());
});

test('goes on chunk by chunk when there is more to come', async () => {
  const body = await wholeIfSmall(chunksFrom('ab', 'cd', 'e'), 5);
  expect(isChunks(body) ? await textOf(body) : body).toBe('abcde');
});

test('fails when there is no first byte', async () => {
  await expect(wholeIfSmall(brokenChunks(), 3)).rejects.toThrow('reset');
});
