import { randomUUID } from 'node:crypto';

import type { AuditEvent, LeaseEvent } from '#operator/audit/audit-log.ts';
import type { AuditObserver } from '#operator/audit/audit-metrics.ts';

/** A lease event as the broker makes them. */
export function leaseEvent(overrides: Partial<LeaseEvent> = {}): LeaseEvent {
  return {
    id: randomUUID(),
    at: '2026-11-24T10:00:00.000Z',
    type: 'lease',
    organization: 'default',
    server: { namespace: 'team-a', name: 'github' },
    subject: { issuer: 'https://idp.example', id: 'alice-id', name: 'alice' },
    leaseId: randomUUID(),
    keyVersion: 3,
    headerNames: ['Authorization'],
    pod: { name: 'github-0', uid: 'pod-uid-1', node: 'node-1' },
    ...overrides,
  };
}

/** One valid event of every type. */
export function oneOfEach(): readonly AuditEvent[] {
  const base = {
    at: '2026-11-24T10:00:00.000Z',
    organization: 'default',
    server: { namespace: 'team-a', name: 'github' },
    subject: { issuer: 'https://idp.example', id: 'alice-id', name: 'alice' },
  };
  return [
    leaseEvent(),
    {
      ...base,
      id: randomUUID(),
      type: 'request',
      httpMethod: 'POST',
      method: 'tools/call',
      tool: 'create_issue',
      decision: 'forwarded',
      httpStatus: 200,
      durationMs: 12,
      requestBytes: 100,
      responseBytes: 200,
      reportedBy: { name: 'github-0', uid: 'pod-uid-1' },
    },
    { ...base, id: randomUUID(), type: 'key.set', keyVersion: 1, headerNames: ['Authorization'], actor: 'alice' },
    { ...base, id: randomUUID(), type: 'key.delete', headerNames: ['Authorization'], actor: 'alice' },
    { ...base, id: randomUUID(), type: 'key.destroyed', headerNames: [], actor: 'operator' },
    {
      id: randomUUID(),
      at: base.at,
      organization: base.organization,
      server: base.server,
      type: 'request.refused',
      reportedBy: { name: 'github-0', uid: 'pod-uid-1' },
      count: 140_000,
      decisions: { unauthenticated: 139_999, badRequest: 1 },
      firstAt: '2026-11-24T10:00:00.000Z',
      lastAt: '2026-11-24T10:00:59.999Z',
      complete: true,
    },
    { ...base, id: randomUUID(), type: 'denied', action: 'lease', reason: 'TokenExpired', message: 'It has expired.' },
  ];
}

export const silentAuditObserver: AuditObserver = {
  durable: () => undefined,
  rejected: () => undefined,
  committed: () => undefined,
  waiting: () => undefined,
  sized: () => undefined,
  limited: () => undefined,
};
