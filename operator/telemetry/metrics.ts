import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

import type {
  ControllerObserver,
  InformerObserver,
  LeaderObserver,
  RequestObserver,
  WorkQueueObserver,
} from '#operator/kube/observers.ts';

/** Everything the operator measures, under the names that existing dashboards and alerts know. */
export interface Metrics {
  /** Parts with metrics of their own register them here. */
  readonly registry: Registry;
  readonly requests: RequestObserver;
  informer(resource: string): InformerObserver;
  workQueue(name: string): WorkQueueObserver;
  controller(name: string): ControllerObserver;
  leader(name: string): LeaderObserver;
}

/** As controller-runtime, 5 ms to 60 s. */
const reconcileSecondsBuckets = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
  2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** As client-go, 10 ns to 10 s in tens; ours begin where a JS clock can see anything. */
const queueSecondsBuckets = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000];

export interface MetricsOptions {
  /** Also measure the process: memory, CPU, event loop, garbage collection. */
  readonly processMetrics?: boolean;
  readonly nowMs?: () => number;
}

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });
  return {
    registry,
    requests: requestMetrics(registry),
    informer: informerMetrics(registry, options.nowMs ?? (() => performance.now())),
    workQueue: workQueueMetrics(registry),
    controller: controllerMetrics(registry),
    leader: leaderMetrics(registry),
  };
}

function requestMetrics(registry: Registry): RequestObserver {
  const total = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by status code, method and host.',
    labelNames: ['code', 'method', 'host'],
    registers: [registry],
  });
  return { requestEnded: ({ code, method, host }) => total.inc({ code, method, host }) };
}

function informerMetrics(registry: Registry, nowMs: () => number): (resource: string) => InformerObserver {
  const shared = { labelNames: ['resource' as const], registers: [registry] };
  const heardAtMs = new Map<string, number>();
  const objects = new Gauge({ name: 'mcpkeyring_informer_objects', help: 'Objects in the cache.', ...shared });
  const synced = new Gauge({
    name: 'mcpkeyring_informer_synced',
    help: '1 once the first list is in the cache.',
    ...shared,
  });
  const version = new Gauge({
    name: 'mcpkeyring_informer_last_sync_resource_version',
    help: 'The resourceVersion of the last full list.',
    ...shared,
  });
  const relists = new Counter({
    name: 'mcpkeyring_informer_relists_total',
    help: 'Full lists by reason: start, expired, silent.',
    labelNames: ['resource', 'reason'],
    registers: [registry],
  });
  const watches = new Counter({
    name: 'mcpkeyring_informer_watches_ended_total',
    help: 'Ended watches by outcome: closed, failed, expired, silent.',
    labelNames: ['resource', 'outcome'],
    registers: [registry],
  });
  const failures = new Counter({
    name: 'mcpkeyring_informer_handler_errors_total',
    help: 'Handlers that threw.',
    ...shared,
  });
  registry.registerMetric(
    new Gauge({
      name: 'mcpkeyring_informer_last_event_age_seconds',
      help: 'Time since the last event or bookmark; more than 150 s means that the watch is dead.',
      ...shared,
      registers: [],
      collect() {
        for (const [resource, atMs] of heardAtMs) this.set({ resource }, (nowMs() - atMs) / 1000);
      },
    }),
  );
  return (resource) => {
    synced.set({ resource }, 0);
    return {
      synced(sample) {
        synced.set({ resource }, 1);
        objects.set({ resource }, sample.objects);
        version.set({ resource }, Number(sample.resourceVersion));
        heardAtMs.set(resource, nowMs());
      },
      eventReceived(count) {
        objects.set({ resource }, count);
        heardAtMs.set(resource, nowMs());
      },
      relisted: (reason) => relists.inc({ resource, reason }),
      watchEnded: (outcome) => watches.inc({ resource, outcome }),
      handlerFailed: () => failures.inc({ resource }),
    };
  };
}

function workQueueMetrics(registry: Registry): (name: string) => WorkQueueObserver {
  const shared = { labelNames: ['name' as const], registers: [registry] };
  const buckets = { ...shared, buckets: queueSecondsBuckets };
  const unfinished = new Map<string, () => { readonly sumMs: number; readonly longestMs: number }>();
  const depth = new Gauge({ name: 'workqueue_depth', help: 'Keys that wait.', ...shared });
  const adds = new Counter({ name: 'workqueue_adds_total', help: 'Keys added.', ...shared });
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Keys added again after a failure.',
    ...shared,
  });
  const waited = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long keys wait before a worker takes them.',
    ...buckets,
  });
  const worked = new Histogram({
    name: 'workqueue_work_duration_seconds',
    help: 'How long work on a key takes.',
    ...buckets,
  });
  registry.registerMetric(
    new Gauge({
      name: 'workqueue_unfinished_work_seconds',
      help: 'Work under way that work_duration has not seen yet; large values mean stuck workers.',
      ...shared,
      registers: [],
      collect() {
        for (const [name, read] of unfinished) this.set({ name }, read().sumMs / 1000);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'workqueue_longest_running_processor_seconds',
      help: 'Age of the oldest work under way.',
      ...shared,
      registers: [],
      collect() {
        for (const [name, read] of unfinished) this.set({ name }, read().longestMs / 1000);
      },
    }),
  );
  return (name) => {
    depth.set({ name }, 0);
    return {
      added(length) {
        adds.inc({ name });
        depth.set({ name }, length);
      },
      taken(length, waitedMs) {
        depth.set({ name }, length);
        waited.observe({ name }, waitedMs / 1000);
      },
      finished: (workedMs) => worked.observe({ name }, workedMs / 1000),
      retried: () => retries.inc({ name }),
      watchUnfinished: (read) => void unfinished.set(name, read),
    };
  };
}

function controllerMetrics(registry: Registry): (name: string) => ControllerObserver {
  const shared = { labelNames: ['controller' as const], registers: [registry] };
  const counter = (name: string, help: string): Counter<'controller'> => new Counter({ name, help, ...shared });
  const total = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciliations by result.',
    labelNames: ['controller', 'result'],
    registers: [registry],
  });
  const errors = counter('controller_runtime_reconcile_errors_total', 'Reconciliations that failed.');
  const terminal = counter(
    'controller_runtime_terminal_reconcile_errors_total',
    'Reconciliations that failed for good.',
  );
  const timeouts = counter('controller_runtime_reconcile_timeouts_total', 'Reconciliations that ran out of time.');
  // Always zero: in JavaScript a panic is an exception, and those are errors. Dashboards ask for it.
  const panics = counter('controller_runtime_reconcile_panics_total', 'Reconciliations that panicked.');
  const active = new Gauge({ name: 'controller_runtime_active_workers', help: 'Workers that are busy.', ...shared });
  const limit = new Gauge({
    name: 'controller_runtime_max_concurrent_reconciles',
    help: 'Workers of the controller.',
    ...shared,
  });
  const duration = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'How long a reconciliation takes.',
    ...shared,
    buckets: reconcileSecondsBuckets,
  });
  return (controller) => {
    for (const metric of [errors, terminal, timeouts, panics]) metric.inc({ controller }, 0);
    return {
      workers: (count) => limit.set({ controller }, count),
      started: () => active.inc({ controller }),
      ended({ result, seconds }) {
        active.dec({ controller });
        total.inc({ controller, result });
        duration.observe({ controller }, seconds);
        if (result === 'error') errors.inc({ controller });
      },
      terminalFailure: () => terminal.inc({ controller }),
      timedOut: () => timeouts.inc({ controller }),
    };
  };
}

function leaderMetrics(registry: Registry): (name: string) => LeaderObserver {
  const status = new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this replica is the leader.',
    labelNames: ['name'],
    registers: [registry],
  });
  return (name) => ({ leading: (isLeader) => status.set({ name }, isLeader ? 1 : 0) });
}
