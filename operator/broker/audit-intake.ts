import type { RequestEvent } from '#contract/audit.ts';
import type { ServerRef } from '#contract/lease.ts';
import { AuditError } from '#operator/audit/audit-error.ts';
import type { AuditLog } from '#operator/audit/audit-log.ts';
import type { TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { Denials } from './denials.ts';
import { BrokerError } from './errors.ts';
import { brokerLimits } from './limits.ts';
import type { PodGate } from './pod-gate.ts';
import type { RefusalCounts } from './refusal-counts.ts';

export interface AuditIntakeOptions {
  readonly podGate: PodGate;
  readonly tenancy: TenancyIndex;
  readonly audit: Pick<AuditLog, 'appendAll'>;
  readonly denials: Pick<Denials, 'record'>;
  readonly counts: RefusalCounts;
}

/** Takes what sidecars report. A pod speaks for its own server only; one event about another refuses the whole batch. */
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
    const server = events[0]?.server;
    if (server === undefined) throw new BrokerError('ERR_BODY_INVALID');
    const { podGate, tenancy } = this.#options;
    const pod = await podGate.admit({ token: podToken, server, purpose: 'reporting', action: 'audit' });
    if (!events.every((event) => isSameServer(event.server, server))) return this.#refuse(pod.uid, server);
    const owner = tenancy.organizationOf(server.namespace);
    const known = {
      ...(owner.kind === 'organization' ? { organization: owner.name } : {}),
      reportedBy: { name: pod.name, uid: pod.uid },
    };
    const reports = events.map((event) => ({ ...event, ...known }));
    await this.#append(this.#options.counts.sort(reports));
    return events.length;
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

  async #refuse(podUid: string, server: ServerRef): Promise<never> {
    const error = new BrokerError('ERR_POD_FORBIDDEN');
    await this.#options.denials.record(podUid, {
      action: 'audit',
      reason: 'PodServesAnotherServer',
      message: error.message,
      server,
    });
    throw error;
  }
}

function isSameServer(one: ServerRef, other: ServerRef): boolean {
  return one.namespace === other.namespace && one.name === other.name;
}
