/** Waits that grow by half to double each time, and never past a bound. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Full wait of attempt 0, 1, 2, … less up to a half, so that many sidecars do not come back at once. */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const wholeMs = Math.min(backoff.mostMs, backoff.firstMs * 2 ** Math.min(attempt, 30));
  return wholeMs * (1 - random() / 2);
}

/** Resolves after `ms`, or at once when `signal` aborts: look at it afterwards. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
