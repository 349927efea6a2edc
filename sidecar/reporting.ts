import type { BrokerClient } from './leases/broker-client.ts';
import { AuditSpool } from './spool/audit-spool.ts';
import { sendAudit } from './spool/send-audit.ts';
import { errorFields, type Log, rateLimited } from './telemetry/log.ts';
import { type Gauges, SidecarMetrics } from './telemetry/sidecar-metrics.ts';

export interface ReportingParts {
  readonly broker: BrokerClient;
  readonly nowMs: () => number;
  readonly log: Log;
  readonly gauges: Omit<Gauges, 'auditQueue'>;
}

/** What a proxy says about itself and its requests: one audit queue, one set of metrics, one log, however many servers it serves. */
export interface Reporting {
  readonly spool: AuditSpool;
  readonly metrics: SidecarMetrics;
  /** Says the same thing only now and then. */
  readonly log: Log;
}

/** Shortest time between two log lines that say the same. */
const logEveryMs = 10_000;

export function createReporting({ broker, nowMs, log: write, gauges }: ReportingParts): Reporting {
  const log = rateLimited(write, logEveryMs, nowMs);
  const spool: AuditSpool = new AuditSpool({
    send: (events) => sendAudit(broker, events),
    observer: {
      sent: (events) => metrics.auditSent(events),
      full: () => metrics.auditFull(),
      failed: (error) => {
        metrics.auditFailed();
        log('warn', 'audit events were not accepted', errorFields(error));
      },
    },
  });
  const metrics: SidecarMetrics = new SidecarMetrics({ ...gauges, auditQueue: () => spool.length });
  return { spool, metrics, log };
}
