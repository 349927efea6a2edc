import type { RequestEvent } from '#contract/audit.ts';
import type { ServerRef } from '#contract/lease.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import { organizationNameOf, type TenancyIndex } from '#operator/tenancy/tenancy.ts';

import { BrokerError } from './errors.ts';
import { brokerLimits } from './limits.ts';
import type { PodGate } from './pod-gate.ts';
import { podOnRecord } from './pod-on-record.ts';
import type { RefusalCounts, ReportedRequest } from './refusal-counts.ts';

/** What the broker knows itself about who reports. */
type KnownReporter = Pick<ReportedRequest, 'organization' | 'reportedBy'>;

export interface AuditIntakeOptions {
  readonly podGate: PodGate;
  readonly tenancy: TenancyIndex;
  readonly audit: Pick<AuditLog, 'appendAll'>;
  readonly counts: RefusalCounts;
}

/** Takes what sidecars report. A pod speaks for the servers it acts for only; one event about another refuses the whole batch. */
export class AuditIntake {
  readonly #options: AuditIntakeOptions;
  readonly #sweep: NodeJS.Timeout;

  constructor(options: AuditIntakeOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => void this.completeCounts('ended'), brokerLimits.refusalsSweepMs);
    this.#sweep.unref();
  }

  /** Puts the last word of counts on record. Never rejects: what the log does not take now is tried again. */
  async completeCounts(which: 'ended' | 'all'): Promise<void> {
    const { counts, audit } = this.#options;
    const due = counts.due(which);
    if (due.length === 0) return;
    try {
      await audit.appendAll(due);
      counts.settle(due);
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    await this.completeCounts('all');
  }

  /** Resolves the number of events that are durable. @throws BrokerError */
  async take(events: readonly RequestEvent[], podToken: string | undefined): Promise<number> {
    const known = new Map<string, KnownReporter>();
    const reports: ReportedRequest[] = [];
    for (const event of events) {
      const key = `${event.server.namespace}/${event.server.name}`;
      const reporter = known.get(key) ?? (await this.#admit(event.server, podToken));
      known.set(key, reporter);
      reports.push({ ...event, ...reporter });
    }
    if (reports.length === 0) throw new BrokerError('ERR_BODY_INVALID');
    await this.#append(this.#options.counts.sort(reports));
    return events.length;
  }

  async #admit(server: ServerRef, podToken: string | undefined): Promise<KnownReporter> {
    const { podGate, tenancy } = this.#options;
    const pod = await podGate.admit({ token: podToken, server, purpose: 'reporting', action: 'audit' });
    const organization = organizationNameOf(tenancy, server.namespace);
    return { ...(organization === undefined ? {} : { organization }), reportedBy: podOnRecord(pod, server) };
  }

  async #append(events: Parameters<AuditLog['appendAll']>[0]): Promise<void> {
    try {
      if (events.length > 0) await this.#options.audit.appendAll(events);
    } catch (cause) {
      if (!(cause instanceof AuditError)) throw cause;
      const code = cause.code === 'ERR_AUDIT_EVENT_INVALID' ? 'ERR_BODY_INVALID' : 'ERR_AUDIT_UNAVAILABLE';
      throw new BrokerError(code, { cause });
    }
  }
}
