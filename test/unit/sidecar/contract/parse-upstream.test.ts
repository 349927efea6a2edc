import { expect, test } from 'vitest';
import { parseWatchMessage } from '#contract/parse.ts';

function snapshotWith(more: object): unknown {
  const policy = { server: { namespace: 'team-a', name: 'notes' }, title: 'Notes', headers: [], ...more };
  return { kind: 'snapshot', revision: '1', policy };
}

const remote = { kind: 'remote', url: 'https://mcp.example.com/mcp', allowPrivateAddresses: false };

test.each([
  {},
  { upstream: remote },
  { upstream: { ...remote, url: 'https://mcp.example.com', ca: 'PEM' } },
  { upstream: { ...remote, url: 'https://[2606:4700::1]:8443/@team/mcp?tenant=7' } },
  { upstream: { kind: 'cluster', url: 'http://notes-mcp.team-a.svc.cluster.local/mcp' } },
  { issuers: [] },
  { issuers: ['https://login.example.com/realms/main'] },
  { bounds: {} },
  { bounds: { connectMsMax: 10_000, answerMsMax: 86_400_000, bodyBytesMax: 16_777_216 } },
  { allow: {} },
  { allow: { hosts: ['mcp.example.com', '[::1]'], origins: ['https://app.example.com:8443'] } },
  { scopes: ['openid', 'api://notes/.default'] },
])('takes %j', (more) => {
  expect(parseWatchMessage(snapshotWith(more))).toEqual(snapshotWith(more));
});

test.each([
  ['an origin in the clear', { upstream: { ...remote, url: 'http://mcp.example.com/mcp' } }],
  ['a user in the URL', { upstream: { ...remote, url: 'https://user@mcp.example.com/mcp' } }],
  ['a fragment', { upstream: { ...remote, url: 'https://mcp.example.com/mcp#x' } }],
  ['a line break', { upstream: { ...remote, url: 'https://mcp.example.com/\r\nx: y' } }],
  ['a backslash before the user', { upstream: { ...remote, url: 'https://mcp.example.com\\@evil.example/' } }],
  ['no word about private addresses', { upstream: { kind: 'remote', url: remote.url } }],
  ['text for it', { upstream: { ...remote, allowPrivateAddresses: 'false' } }],
  ['an empty CA', { upstream: { ...remote, ca: '' } }],
  ['an unknown kind', { upstream: { ...remote, kind: 'tunnel' } }],
  ['a Service over another scheme', { upstream: { kind: 'cluster', url: 'file:///etc/passwd' } }],
  ['a Service with a query', { upstream: { kind: 'cluster', url: 'http://notes-mcp/mcp?x' } }],
  ['a Service with a user', { upstream: { kind: 'cluster', url: 'http://user@notes-mcp/mcp' } }],
  ['a wait without end', { bounds: { connectMsMax: 10_001 } }],
  ['no wait', { bounds: { answerMsMax: 0 } }],
  ['a body larger than there is room', { bounds: { bodyBytesMax: 16_777_217 } }],
  ['a bound in words', { bounds: { bodyBytesMax: '4Mi' } }],
  ['hosts that are one', { allow: { hosts: 'mcp.example.com' } }],
  ['a host with a blank', { allow: { hosts: ['a b'] } }],
  ['more origins than there may be', { allow: { origins: Array(65).fill('https://a.example') } }],
  ['a scope that is two', { scopes: ['openid email'] }],
  ['a scope that ends its quotes', { scopes: ['a"b'] }],
  ['an issuer that is no URL', { issuers: ['login"'] }],
  ['an issuer in the clear', { issuers: ['http://login.example.com'] }],
])('refuses %s', (_, more) => {
  expect(() => parseWatchMessage(snapshotWith(more))).toThrow(/^policy\./);
});
