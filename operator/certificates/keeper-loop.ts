import { Backoff } from '#operator/kube/backoff.ts';
import { sleep } from '#operator/kube/clock.ts';
import type { Clock } from '#operator/kube/clock.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { Log } from '#operator/kube/observers.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

import type { CertificateKeeper } from './keeper.ts';

/** How often the clock alone is reason to look; every change in the cluster is one at once. */
const lookEveryMs = 60_000;
const retryLimits = { delayMsMin: 1_000, delayMsMax: 60_000, resetAfterMs: 300_000 } as const;

export interface KeeperLoopOptions {
  readonly keeper: Pick<CertificateKeeper, 'reconcile'>;
  /** Informers whose changes are reason to look; nothing happens before all of them have synced. */
  readonly informers: readonly Pick<Informer<KubeObject>, 'onChange' | 'synced'>[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface KeeperLoop {
  /** Look now, for example after having become the leader. */
  wake(): void;
  /** Resolves when nothing runs any more. */
  close(): Promise<void>;
}

/** Reconciles one at a time, for ever; a failure is logged and tried again. */
export function startKeeperLoop(options: KeeperLoopOptions): KeeperLoop {
  const closing = new AbortController();
  let waking = new AbortController();
  const wake = (): void => waking.abort();
  closing.signal.addEventListener('abort', wake);
  for (const informer of options.informers) informer.onChange(wake);
  const backoff = new Backoff(retryLimits);

  async function run(): Promise<void> {
    // Rejects when closed before that, and then there is nothing to do either.
    await Promise.all(options.informers.map((informer) => informer.synced(closing.signal))).catch(() => undefined);
    while (!closing.signal.aborted) {
      waking = new AbortController();
      const isDone = await reconcileOnce(options);
      if (isDone) await sleep(options.clock, lookEveryMs, waking.signal);
      else await sleep(options.clock, backoff.nextDelayMs(options.clock.nowMs()), closing.signal);
    }
  }

  const running = run();
  return {
    wake,
    async close() {
      closing.abort();
      await running;
    },
  };
}

async function reconcileOnce({ keeper, log }: KeeperLoopOptions): Promise<boolean> {
  try {
    await keeper.reconcile();
    return true;
  } catch (error) {
    log.error('certificates could not be kept', { error: error instanceof Error ? error : undefined });
    return false;
  }
}
