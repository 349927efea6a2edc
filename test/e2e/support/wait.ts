import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 100;

/** Polls `check` until it resolves something other than `undefined` or `false`; the error names what was waited for. */
export async function waitUntil<T>(
  what: string,
  withinMs: number,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const startedAt = performance.now();
  let last: unknown;
  while (performance.now() - startedAt < withinMs) {
    try {
      const found = await check();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    await delay(pollMs);
  }
  throw new Error(`${what}: not within ${withinMs} ms`, { cause: last });
}
