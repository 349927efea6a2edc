import type { Registry } from 'prom-client';
import { Counter, Gauge, Histogram } from 'prom-client';

import type { AuditErrorCode } from './audit-error.ts';
import type { AuditEvent } from './audit-log.ts';

/** What is told about the audit log while it works. */
export interface AuditObserver {
  durable(type: AuditEvent['type']): void;
  rejected(code: AuditErrorCode, eventCount: number): void;
  committed(durationSeconds: number): void;
  waiting(eventCount: number): void;
  sized(bytes: number): void;
  limited(bytesMax: number): void;
}

/** Registers `mcpkeyring_audit_*`. */
export function createAuditObserver(registry: Registry): AuditObserver {
  const registers = [registry];
  const events = new Counter({
    name: 'mcpkeyring_audit_events_total',
    help: 'Audit events that became durable',
    labelNames: ['type'],
    registers,
  });
  const rejected = new Counter({
    name: 'mcpkeyring_audit_rejected_total',
    help: 'Audit events that could not be made durable; what they stood for was refused',
    labelNames: ['code'],
    registers,
  });
  const commit = new Histogram({
    name: 'mcpkeyring_audit_commit_duration_seconds',
    help: 'Time of one transaction of audit events, disk included',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  const waiting = new Gauge({
    name: 'mcpkeyring_audit_waiting_events',
    help: 'Audit events that wait for the disk',
    registers,
  });
  const size = new Gauge({ name: 'mcpkeyring_audit_bytes', help: 'Size of the audit log', registers });
  const limit = new Gauge({ name: 'mcpkeyring_audit_bytes_max', help: 'Size at which the log is full', registers });
  return {
    sized: (bytes) => size.set(bytes),
    limited: (bytesMax) => limit.set(bytesMax),
    durable: (type) => events.inc({ type }),
    rejected: (code, eventCount) => rejected.inc({ code }, eventCount),
    committed: (durationSeconds) => commit.observe(durationSeconds),
    waiting: (eventCount) => waiting.set(eventCount),
  };
}
