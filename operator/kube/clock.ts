/** Time as the runtime sees it: a clock that never jumps, and timers. Tests put their own in its place. */
export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  nowMs(): number;
  setTimer(callback: () => void, delayMs: number): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Longest delay that Node's timers take; longer ones would fire at once. */
const timerDelayMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, Math.min(delayMs, timerDelayMsMax));
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `delayMs`, or as soon as `signal` aborts: the caller looks at the signal, it is not an error here. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const wake = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = clock.setTimer(wake, delayMs);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
