import type { InformerTiming } from '#operator/kube/create-informer.ts';
import type { TransportLimits } from '#operator/kube/transport.ts';

/** Back-offs of milliseconds: what is tested is that something is tried again, not how late. */
export const fastTiming: Partial<InformerTiming> = {
  backoff: { delayMsMin: 2, delayMsMax: 20, resetAfterMs: 1000 },
  watchMsMin: 5,
};

export const fewestRetries: Partial<TransportLimits> = { callTimeoutMs: 2000 };

/** Repeats an expectation until it holds. */
export async function eventually(expectation: () => void, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      expectation();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
