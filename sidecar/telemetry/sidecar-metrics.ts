import type { LeaseResponse } from '../contract/lease.ts';
import type { LeaseErrorCode } from '../leases/lease-error.ts';
import type { LimitRule, QuotaResponse } from '../contract/quota.ts';
import type { EndedRequest } from '../proxy/exchange.ts';
import type { CutReason } from '../proxy/ingress-observer.ts';
import type { LimitObserver } from '../proxy/layers/limit.ts';
import { Counter, Histogram, joinLabels, type Metric, Reading } from './exposition.ts';
import { OperationLabels } from './operation-labels.ts';
import { sessionLabels } from './session-labels.ts';

/** Buckets of the OpenTelemetry conventions for MCP (`mcp.server.operation.duration`, `mcp.server.session.duration`), seconds. */
export const durationBucketsSeconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300] as const;

export const quotaBucketsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

/** What is read when metrics are asked for. */
export interface Gauges {
  readonly leases: () => number;
  /** One stream, or every one of a proxy of many servers. */
  readonly watchConnected: () => boolean;
  /** Servers that are open; absent in a sidecar. */
  readonly servers?: () => number;
  readonly auditQueue: () => number;
  readonly residentBytes: () => number;
  readonly cpuSeconds: () => number;
}

/** Metrics of one sidecar. No label comes from what a client sends, except methods and tools that are known; none names a user. */
export class SidecarMetrics {
  readonly #duration = new Histogram(
    {
      name: 'mcp_server_operation_duration_seconds',
      help: 'Time from the head of a request to the last byte of its response.',
    },
    durationBucketsSeconds,
  );
  readonly #sessions = new Histogram(
    {
      name: 'mcp_server_session_duration_seconds',
      help: 'Time from the beginning of a session to its end, or to its last use where nobody ended it.',
    },
    durationBucketsSeconds,
  );
  readonly #requests = new Counter({ name: 'mcpkeyring_requests_total', help: 'Requests by what became of them.' });
  readonly #leases = new Counter({
    name: 'mcpkeyring_lease_answers_total',
    help: 'Answers of the broker to lease requests, and failures to get one.',
  });
  readonly #auditEvents = new Counter({
    name: 'mcpkeyring_audit_events_total',
    help: 'Audit events: accepted by the broker, or refused with their request because the queue was full.',
  });
  readonly #auditFailures = new Counter({
    name: 'mcpkeyring_audit_send_failures_total',
    help: 'Batches of audit events that were not accepted and are sent again.',
  });
  readonly #watches = new Counter({
    name: 'mcpkeyring_watch_interruptions_total',
    help: 'Times that the watch stream ended or could not be opened.',
  });
  readonly #unread = new Counter({
    name: 'mcpkeyring_unreadable_requests_total',
    help: 'What came on connections of clients and was no request in order, by the status of the answer.',
  });
  readonly #cutConnections = new Counter({
    name: 'mcpkeyring_connections_cut_total',
    help: 'Connections of clients that were ended to keep memory and connections within their bounds, by reason.',
  });
  readonly #labels = new OperationLabels();
  readonly #echoes = new Counter({
    name: 'mcpkeyring_echoes_total',
    help: "Times that a server sent the user's key back, and it was masked.",
  });
  readonly #limited = new Counter({
    name: 'mcpkeyring_limited_total',
    help: 'Requests that a limit of their user refused, by the kind of the limit.',
  });
  readonly #uncounted = new Counter({
    name: 'mcpkeyring_limits_uncounted_total',
    help: 'Requests that nobody could count: let through (Open) or refused (Closed), as the policy says.',
  });
  readonly #quotas = new Histogram(
    {
      name: 'mcpkeyring_quota_duration_seconds',
      help: 'Time that questions to the broker about limits took, by answer.',
    },
    quotaBucketsSeconds,
  );
  readonly #all: readonly Metric[];
  #inFlight = 0;

  constructor(gauges: Gauges) {
    this.#all = [
      this.#duration,
      this.#sessions,
      this.#requests,
      this.#leases,
      this.#auditEvents,
      this.#auditFailures,
      this.#watches,
      this.#echoes,
      this.#unread,
      this.#cutConnections,
      this.#limited,
      this.#uncounted,
      this.#quotas,
      gauge('mcpkeyring_requests_in_flight', 'Requests under way, open streams among them.', () => this.#inFlight),
      gauge('mcpkeyring_leases', 'Leases and refusals held in memory.', gauges.leases),
      gauge('mcpkeyring_watch_connected', '1 while the watch stream is open.', () => Number(gauges.watchConnected())),
      ...(gauges.servers === undefined
        ? []
        : [gauge('mcpkeyring_servers', 'MCP servers that are open, each with a watch stream.', gauges.servers)]),
      gauge('mcpkeyring_audit_queue', 'Audit events that wait to be sent.', gauges.auditQueue),
      gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', gauges.residentBytes),
      new Reading(
        { name: 'process_cpu_seconds_total', help: 'User and system CPU time spent, in seconds.', type: 'counter' },
        gauges.cpuSeconds,
      ),
    ];
  }

  begin(): void {
    this.#inFlight += 1;
  }

  end(ended: EndedRequest): void {
    const { record, httpStatus, durationMs } = ended;
    this.#inFlight -= 1;
    // Closed sets without anything to escape; joined here, as this is done for every request.
    this.#requests.add(`decision="${record.decision}",code="${codeClass(httpStatus)}"`);
    const labels = this.#labels.of(ended);
    if (labels !== undefined) this.#duration.observe(labels, durationMs / 1_000);
    for (const session of record.endedSessions ?? []) {
      const endedMs = session.endedMs ?? record.startedMs + durationMs;
      this.#sessions.observe(sessionLabels(session), (endedMs - session.begunMs) / 1_000);
    }
    if (record.echoes > 0) this.#echoes.add('', record.echoes);
  }

  unreadable(status: number): void {
    this.#unread.add(joinLabels({ code: String(status) }));
  }

  connectionCut(reason: CutReason): void {
    this.#cutConnections.add(joinLabels({ reason }));
  }

  leaseAnswered(decision: LeaseResponse['decision'] | LeaseErrorCode): void {
    this.#leases.add(joinLabels({ answer: decision }));
  }

  readonly limits: LimitObserver = {
    limited: (rule) => this.#limited.add(joinLabels({ kind: kindOf(rule), per: rule.per })),
    uncounted: (mode) => this.#uncounted.add(joinLabels({ mode })),
  };

  quotaAnswered(answer: QuotaResponse['kind'] | 'failed', durationMs: number): void {
    this.#quotas.observe(joinLabels({ answer }), durationMs / 1_000);
  }

  auditSent(events: number): void {
    this.#auditEvents.add(joinLabels({ result: 'accepted' }), events);
  }

  auditFailed(): void {
    this.#auditFailures.add();
  }

  auditFull(): void {
    this.#auditEvents.add(joinLabels({ result: 'refused' }));
  }

  watchInterrupted(): void {
    this.#watches.add();
  }

  expose(): string {
    return this.#all.map((metric) => metric.expose()).join('');
  }
}

function kindOf({ match }: LimitRule): string {
  return match === undefined ? 'requests' : 'tools';
}

function gauge(name: string, help: string, read: () => number): Reading {
  return new Reading({ name, help, type: 'gauge' }, read);
}

/** `2xx`; `none` when the client left before there was a status. */
function codeClass(httpStatus: number): string {
  return httpStatus === 0 ? 'none' : `${Math.trunc(httpStatus / 100)}xx`;
}
