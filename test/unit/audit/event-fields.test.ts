import { describe, expect, test } from 'vitest';

import { readAuditEvent } from '#operator/audit/event-fields.ts';
import { leaseEvent, oneOfEach } from '#test/support/audit-events.ts';

describe('what an audit event may hold', () => {
  test.each(oneOfEach().map((event) => [event.type, event] as const))('keeps every field of %s', (_, event) => {
    expect(readAuditEvent(event)).toEqual(event);
  });

  test('keeps all that a sidecar says of a request', () => {
    const request = oneOfEach().find(({ type }) => type === 'request');
    const more = {
      era: 'legacy',
      prompt: 'greet',
      uri: 'file:///a',
      taskId: 't-1',
      sessionIdHash: 'a'.repeat(43),
      traceId: '0af7651916cd43dd8448eb211c80319c',
      rpcStatus: 0,
      isError: false,
      upstreamFirstByteMs: 3,
      phase: 'open',
      streamId: request?.id,
    };
    expect(readAuditEvent({ ...request, ...more })).toEqual({ ...request, ...more });
  });

  test('drops every field that the type does not have, at each depth', () => {
    const event = leaseEvent();
    const careless = {
      ...event,
      headers: [{ name: 'Authorization', value: 'Bearer secret-value' }],
      value: 'secret-value',
      pod: { ...event.pod, token: 'secret-value' },
      subject: { ...event.subject, credential: 'secret-value' },
    };
    expect(readAuditEvent(careless)).toEqual(event);
    expect(JSON.stringify(readAuditEvent(careless))).not.toContain('secret-value');
  });

  test.each([
    ['an unknown type', { type: 'lease.granted' }],
    ['a type out of the prototype', { type: 'constructor' }],
    ['no id', { id: undefined }],
    ['an empty id', { id: '' }],
    ['an id that is too long', { id: 'x'.repeat(65) }],
    ['a time without zone', { at: '2026-11-24T10:00:00.000' }],
    ['a negative key version', { keyVersion: -1 }],
    ['a key version that is text', { keyVersion: '3' }],
    ['header names that are no list', { headerNames: 'Authorization' }],
    ['a pod without uid', { pod: { name: 'github-0' } }],
    ['a subject without id', { subject: { issuer: 'x', name: 'alice' } }],
    ['a server with a path in it', { server: { namespace: '../x', name: 'github' } }],
  ])('refuses %s', (_, wrong) => {
    expect(() => readAuditEvent({ ...leaseEvent(), ...wrong })).toThrow(
      expect.objectContaining({ code: 'ERR_AUDIT_EVENT_INVALID' }),
    );
  });

  test.each([
    ['a decision that is none', { decisions: { granted: 1 } }],
    ['a decision out of the prototype', { decisions: { toString: 1 } }],
    ['a count of nothing', { count: 0 }],
    ['a count by decision that is text', { decisions: { denied: '1' } }],
    ['a time without zone', { lastAt: '2026-11-24T10:00:00.000' }],
    ['nobody who reports', { reportedBy: undefined }],
    ['no word on whether it goes on', { complete: undefined }],
  ])('refuses a count of requests with %s', (_, wrong) => {
    const count = oneOfEach().find(({ type }) => type === 'request.refused');
    expect(() => readAuditEvent({ ...count, ...wrong })).toThrow(
      expect.objectContaining({ code: 'ERR_AUDIT_EVENT_INVALID' }),
    );
  });

  test('has no user in a count of requests', () => {
    const count = oneOfEach().find(({ type }) => type === 'request.refused');
    const careless = { ...count, subject: { issuer: 'https://idp.example', id: 'alice-id', name: 'alice' } };
    expect(readAuditEvent(careless)).toEqual(count);
  });

  test('never repeats a refused value in its error', () => {
    const attempt = (): unknown => readAuditEvent({ ...leaseEvent(), leaseId: { secret: 'secret-value' } });
    expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_AUDIT_EVENT_INVALID' }));
    try {
      attempt();
    } catch (error) {
      const { message, cause } = error as Error;
      expect(`${message} ${String(cause)}`).not.toContain('secret-value');
    }
  });
});
