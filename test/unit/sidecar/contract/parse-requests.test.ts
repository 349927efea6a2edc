import { expect, test } from 'vitest';
import type { RequestEvent } from '#contract/audit.ts';
import { auditBatchMax, auditTextCharsMax } from '#contract/audit.ts';
import { ContractError } from '#contract/fields.ts';
import { credentialBytesMax } from '#contract/lease.ts';
import { parseAuditBatch, parseLeaseRequest } from '#contract/parse-requests.ts';

const server = { namespace: 'team-a', name: 'notes' };

test('reads a lease request', () => {
  expect(parseLeaseRequest({ server, credential: 'abc', more: 1 })).toEqual({ server, credential: 'abc' });
});

test.each<[string, unknown]>([
  ['no server', { credential: 'a' }],
  ['a namespace that is none', { server: { namespace: '../x', name: 'n' }, credential: 'a' }],
  ['a name that is none', { server: { namespace: 'x', name: 'N' }, credential: 'a' }],
  ['no credential', { server }],
  ['an empty credential', { server, credential: '' }],
  ['a credential with a space', { server, credential: 'a b' }],
  ['a credential with a line break', { server, credential: 'a\nb' }],
  ['a credential outside ASCII', { server, credential: 'é' }],
  ['a credential that is too long', { server, credential: 'a'.repeat(credentialBytesMax + 1) }],
])('refuses a lease request with %s', (_reason, value) => {
  expect(() => parseLeaseRequest(value)).toThrow(ContractError);
});

const event: RequestEvent = {
  id: '0b5e2a3c-1111-4222-8333-444455556666',
  at: '2026-11-24T10:00:00.123Z',
  type: 'request',
  server,
  httpMethod: 'POST',
  method: 'tools/call',
  tool: 'search',
  rpcId: '1',
  decision: 'forwarded',
  httpStatus: 200,
  durationMs: 5,
  requestBytes: 10,
  responseBytes: 20,
};

test('reads a batch of events', () => {
  const named = { ...event, subject: { issuer: 'i', id: 's', name: '' }, leaseId: 'l', keyVersion: 1 };
  const full: RequestEvent = {
    ...named,
    era: 'modern',
    prompt: 'greet',
    uri: 'file:///a',
    taskId: 't-1',
    sessionIdHash: 'a_-Z0123456789abcdefghijklmnopqrstuvwxyzABC'.slice(0, 43),
    traceId: '0af7651916cd43dd8448eb211c80319c',
    rpcStatus: -32_602,
    isError: true,
    upstreamFirstByteMs: 3,
    phase: 'close',
    streamId: event.id,
  };
  expect(parseAuditBatch({ events: [event, named, full] })).toEqual([event, named, full]);
});

test.each<[string, object]>([
  ['an id that is no UUID', { id: 'x' }],
  ['an instant without milliseconds', { at: '2026-11-24T10:00:00Z' }],
  ['an unknown type', { type: 'lease' }],
  ['an unknown decision', { decision: 'allowed' }],
  ['an unknown method', { httpMethod: 'FETCH' }],
  ['a negative duration', { durationMs: -1 }],
  ['a duration that is not whole', { durationMs: 1.5 }],
  ['a tool that is too long', { tool: 'x'.repeat(auditTextCharsMax + 1) }],
  ['a status beyond HTTP', { httpStatus: 1_000 }],
  ['an era that is none', { era: 'middle' }],
  ['a session id that is not hashed', { sessionIdHash: 's-1' }],
  ['a trace id that is none', { traceId: 'x' }],
  ['a code that is not whole', { rpcStatus: 0.5 }],
  ['an answer that is neither', { isError: 'yes' }],
  ['a phase that is none', { phase: 'half' }],
])('refuses an event with %s', (_reason, change) => {
  expect(() => parseAuditBatch({ events: [{ ...event, ...change }] })).toThrow(ContractError);
});

test('refuses a batch that is too large', () => {
  const events = Array.from({ length: auditBatchMax + 1 }, () => event);
  expect(() => parseAuditBatch({ events })).toThrow(`events: expected a list of at most ${auditBatchMax} items`);
});
