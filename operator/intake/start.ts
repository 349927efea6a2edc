import { type Controller, startController } from '#operator/kube/controller-runner.ts';
import type { UserKeyRequest } from '#crds/v1alpha1/generated/user-key-request.ts';
import { type Clock, sleep, systemClock } from '#operator/kube/clock.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { ControllerObserver, Log, WorkQueueObserver } from '#operator/kube/observers.ts';
import { requestKeyOf } from '#operator/kube/request-key.ts';

import { IntakeKeys, type IntakeKeysOptions } from './intake-keys.ts';
import { type IntakeDependencies, intakeReconcile } from './reconcile.ts';
import { ApprovalOrders } from '#operator/approvals/approval-orders.ts';
import { RevocationOrders, type RevocationOrdersOptions } from '#operator/revocation/revocation-orders.ts';
import { RequestLimiter, triesPerWindowMax } from './request-limiter.ts';
import { Turns } from './turns.ts';

/** How often it is checked whether the intake key is due, and how soon a failed check is repeated. */
const refreshMs = 300_000;
const refreshRetryMs = 5_000;
/** More than keys can be tried at a time: who only asks never waits for an upstream of others. */
const intakeWorkers = 24;

export interface IntakeOptions extends Omit<
  IntakeDependencies,
  'requests' | 'keyPairOf' | 'limiter' | 'tryLimiter' | 'turns' | 'revocations' | 'approvals'
> {
  readonly client: IntakeDependencies['client'] & IntakeKeysOptions['client'] & RevocationOrdersOptions['client'];
  readonly fingerprintKeyOf: RevocationOrdersOptions['fingerprintKeyOf'];
  readonly operatorNamespace: string;
  readonly randomness: IntakeKeysOptions['randomness'];
  readonly requestInformer: Pick<Informer<UserKeyRequest>, 'store' | 'onChange'>;
  readonly log: Log;
  readonly clock?: Clock;
  readonly controllerObserver?: ControllerObserver;
  readonly queueObserver?: WorkQueueObserver;
}

export interface Intake {
  /** Resolves when no request is being handled any more. */
  stop(): Promise<void>;
}

/** Runs intake, on the leader only: the keys and their rotation, then the controller. */
export function startIntake(options: IntakeOptions): Intake {
  const { log, clock = systemClock, operatorNamespace: namespace } = options;
  const { client, randomness, now } = options;
  const keys = new IntakeKeys({ client, namespace, randomness, now });
  const stopping = new AbortController();
  const work: { controller?: Controller } = {};
  const loop = keepKeysFresh(keys, { clock, log, signal: stopping.signal }, () => {
    work.controller ??= startRequests(options, keys);
  });
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all([loop, work.controller?.stop()]);
    },
  };
}

function startRequests(options: IntakeOptions, keys: IntakeKeys): Controller {
  const { requestInformer, controllerObserver, queueObserver, clock } = options;
  const turns = new Turns();
  const { mcpServers } = options.sources;
  const controller = startController({
    name: 'user-key-request',
    workers: intakeWorkers,
    reconcile: intakeReconcile({
      ...options,
      requests: requestInformer.store,
      keyPairOf: (keyId) => keys.keyPairOf(keyId),
      limiter: new RequestLimiter(),
      tryLimiter: new RequestLimiter(triesPerWindowMax),
      turns,
      revocations: new RevocationOrders({ ...options, turns, mcpServers }),
      approvals: new ApprovalOrders({ ...options, turns }),
    }),
    log: options.log,
    ...(clock !== undefined && { clock }),
    ...(controllerObserver !== undefined && { observer: controllerObserver }),
    ...(queueObserver !== undefined && { queueObserver }),
  });
  requestInformer.onChange((change) => {
    if (change.kind !== 'deleted') controller.enqueue(requestKeyOf(change.object));
  });
  return controller;
}

interface Loop {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

async function keepKeysFresh(keys: IntakeKeys, { clock, log, signal }: Loop, onReady: () => void): Promise<void> {
  while (!signal.aborted) {
    const isFresh = await keys.refresh().then(
      () => true,
      (error: unknown) => {
        log.error('the intake key could not be refreshed', { ...(error instanceof Error && { error }) });
        return false;
      },
    );
    if (signal.aborted) return;
    if (isFresh) onReady();
    await sleep(clock, isFresh ? refreshMs : refreshRetryMs, signal);
  }
}
