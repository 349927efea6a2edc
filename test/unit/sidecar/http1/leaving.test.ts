import { expect, test, vi } from 'vitest';
import { abortSignalOf, Leaving } from '#sidecar/http1/leaving.ts';

test('whoever listens when the client goes is told once, and nobody who has stopped', () => {
  const leaving = new Leaving();
  const [told, stopped] = [vi.fn(), vi.fn()];
  leaving.addEventListener('abort', told);
  leaving.addEventListener('abort', told);
  leaving.addEventListener('abort', stopped);
  leaving.removeEventListener('abort', stopped);
  expect(leaving.aborted).toBe(false);
  leaving.abort();
  leaving.abort();
  expect([leaving.aborted, told.mock.calls.length, stopped.mock.calls.length]).toEqual([true, 1, 0]);
});

test('as a signal of the platform it aborts with the client, also when that has gone before', () => {
  const leaving = new Leaving();
  const signal = abortSignalOf(leaving);
  expect(signal.aborted).toBe(false);
  leaving.abort();
  expect([signal.aborted, abortSignalOf(leaving).aborted]).toEqual([true, true]);
  expect(abortSignalOf(signal)).toBe(signal);
});
