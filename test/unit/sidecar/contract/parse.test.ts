import { expect, test } from 'vitest';
import { ContractError } from '#contract/fields.ts';
import { parseLeaseResponse, parseWatchMessage } from '#contract/parse.ts';

const subject = { issuer: 'https://issuer.example', id: 'u-1', name: 'alice' };
const grantedLease = {
  decision: 'granted',
  leaseId: 'l-1',
  subject,
  subjectKey: 'abc',
  headers: [{ name: 'X-Api-Key', value: 'Bearer secret' }],
  keyVersion: 1,
  ttlMs: 30_000,
};
const missingLease = {
  decision: 'missing',
  subject,
  subjectKey: 'abc',
  hints: [{ name: 'X-Api-Key', title: 'Key' }],
  message: 'Set it',
  ttlMs: 0,
};

test.each([
  grantedLease,
  missingLease,
  { ...missingLease, decision: 'invalid' },
  { ...missingLease, decision: 'expired' },
  { ...missingLease, decision: 'pendingApproval' },
  { decision: 'denied', reason: 'ServerNotFound', message: 'no' },
  { decision: 'denied', reason: 'KeyUnreadable', message: 'no', subject },
  { decision: 'unauthenticated', reason: 'TokenExpired', message: 'no' },
])('reads a lease that is $decision', (lease) => {
  expect(parseLeaseResponse(lease)).toEqual(lease);
});

test('reads where the own part of the user lies in a value', () => {
  const headers = [{ name: 'X-Api-Key', value: 'Bearer secret', key: { start: 7, end: 13 } }];
  expect(parseLeaseResponse({ ...grantedLease, headers })).toEqual({ ...grantedLease, headers });
});

test('ignores fields that a newer broker may add', () => {
  expect(parseLeaseResponse({ ...grantedLease, quota: 7 })).toEqual(grantedLease);
});

function withHeader(header: object): object {
  return { ...grantedLease, headers: [header] };
}

test.each<[string, unknown]>([
  ['no object', 'granted'],
  ['null', null],
  ['a list', [grantedLease]],
  ['an unknown decision', { ...grantedLease, decision: 'allowed' }],
  ['a decision of the prototype', { ...grantedLease, decision: 'toString' }],
  ['an unknown reason to deny', { decision: 'denied', reason: 'Because', message: '' }],
  ['an unknown reason not to know', { decision: 'unauthenticated', reason: 'Because', message: '' }],
  ['no subject', { ...grantedLease, subject: undefined }],
  ['a lease that is too long', { ...grantedLease, ttlMs: 30_001 }],
  ['a lease that is not whole', { ...grantedLease, ttlMs: 0.5 }],
  ['a lease that ended before', { ...grantedLease, ttlMs: -1 }],
  ['a value with CR LF', withHeader({ name: 'X-Api-Key', value: 'a\r\nX-Admin: 1' })],
  ['a value with LF', withHeader({ name: 'X-Api-Key', value: 'a\nb' })],
  ['a value with NUL', withHeader({ name: 'X-Api-Key', value: 'a\0b' })],
  ['a value outside ASCII', withHeader({ name: 'X-Api-Key', value: 'é' })],
  ['a value with a space at its end', withHeader({ name: 'X-Api-Key', value: 'a ' })],
  ['an empty value', withHeader({ name: 'X-Api-Key', value: '' })],
  ['a value that is too long', withHeader({ name: 'X-Api-Key', value: 'a'.repeat(8_193) })],
  ['an own part that is empty', withHeader({ name: 'X-A', value: 'abc', key: { start: 1, end: 1 } })],
  ['an own part that ends behind the value', withHeader({ name: 'X-A', value: 'abc', key: { start: 1, end: 4 } })],
  ['an own part that begins before the value', withHeader({ name: 'X-A', value: 'abc', key: { start: -1, end: 2 } })],
  ['an own part without an end', withHeader({ name: 'X-A', value: 'abc', key: { start: 0 } })],
  ['a name with a line break', withHeader({ name: 'X-A\r\nX-B', value: 'a' })],
  ['a name with a colon', withHeader({ name: 'X-A:', value: 'a' })],
  ['a reserved name', withHeader({ name: 'Host', value: 'a' })],
  ['a reserved name in another case', withHeader({ name: 'CONTENT-LENGTH', value: '1' })],
  ['a name with a reserved beginning', withHeader({ name: 'Mcp-Session-Id', value: 'a' })],
  [
    'one name twice',
    {
      ...grantedLease,
      headers: [
        { name: 'X-A', value: 'a' },
        { name: 'x-a', value: 'b' },
      ],
    },
  ],
  [
    'too many headers',
    { ...grantedLease, headers: Array.from({ length: 33 }, (_, at) => ({ name: `x-${at}`, value: 'a' })) },
  ],
])('refuses %s', (_reason, value) => {
  expect(() => parseLeaseResponse(value)).toThrow(ContractError);
});

test('never repeats a value that it refuses', () => {
  const parse = () => parseLeaseResponse(withHeader({ name: 'X-Api-Key', value: 'secret\n' }));
  expect(parse).toThrow('headers[0].value: expected a header value of at most 8192 bytes');
  expect(parse).not.toThrow('secret');
});

const policy = { server: { namespace: 'a', name: 'b' }, title: 'B', headers: [{ name: 'X-Api-Key', required: true }] };

test.each([
  { kind: 'snapshot', revision: '1', policy },
  { kind: 'snapshot', revision: '1', policy: { ...policy, transport: 'SSE' } },
  { kind: 'snapshot', revision: '1', policy: { ...policy, tools: [{ deny: ['drop_*'] }, { allow: [] }, {}] } },
  { kind: 'invalidate', revision: '2', subjectKey: 'all' },
  { kind: 'heartbeat', revision: '3' },
])('reads a watch message of kind $kind', (message) => {
  expect(parseWatchMessage(message)).toEqual(message);
});

test.each<[string, unknown]>([
  ['an unknown kind', { kind: 'hello', revision: '1' }],
  ['no revision', { kind: 'heartbeat' }],
  ['another transport', { kind: 'snapshot', revision: '1', policy: { ...policy, transport: 'WebSocket' } }],
  ['no policy', { kind: 'snapshot', revision: '1' }],
  ['a header without required', { kind: 'snapshot', revision: '1', policy: { ...policy, headers: [{ name: 'X-A' }] } }],
  ...[
    { deny: 'x' },
    [{ deny: 'x' }],
    [{ allow: [''] }],
    [{ allow: [7] }],
    [{ deny: ['x'.repeat(257)] }],
    [{ deny: Array(8_193).fill('x') }],
    Array.from({ length: 65 }, () => ({})),
    [null],
  ].map((tools, index): [string, unknown] => [
    `tool rules that are none (${index})`,
    { kind: 'snapshot', revision: '1', policy: { ...policy, tools } },
  ]),
  ['an invalidation of nobody', { kind: 'invalidate', revision: '1', subjectKey: '' }],
])('refuses a watch message with %s', (_reason, message) => {
  expect(() => parseWatchMessage(message)).toThrow(ContractError);
});
