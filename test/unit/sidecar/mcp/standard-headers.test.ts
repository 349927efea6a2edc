import { expect, test } from 'vitest';
import type { NotificationMessage, RequestMessage } from '#sidecar/mcp/message.ts';
import { compareHeaders, decodeHeaderText } from '#sidecar/mcp/standard-headers.ts';
import { Fields } from '#sidecar/http1/fields.ts';

const legacy: RequestMessage = {
  kind: 'request',
  id: 1,
  method: 'tools/call',
  era: 'legacy',
  protocolVersion: undefined,
  tool: 'grüße',
  name: 'grüße',
  elicitsUrl: false,
  traceparent: undefined,
};
const modern: RequestMessage = { ...legacy, era: 'modern', protocolVersion: '2026-07-28' };
const future: RequestMessage = { ...modern, protocolVersion: '2027-01-01' };
const notification: NotificationMessage = {
  kind: 'notification',
  method: 'notifications/cancelled',
  era: 'legacy',
  protocolVersion: undefined,
};

const right = {
  'MCP-Protocol-Version': '2026-07-28',
  'Mcp-Method': 'tools/call',
  'Mcp-Name': '=?base64?Z3LDvMOfZQ==?=',
};

test('accepts a modern request whose headers repeat its body', () => {
  expect(compareHeaders(modern, new Fields(right))).toBe(modern);
});

test.each<[string, Record<string, string>]>([
  ['MCP-Protocol-Version', { 'MCP-Protocol-Version': '2025-11-25' }],
  ['Mcp-Method', { 'Mcp-Method': 'tools/list' }],
  ['Mcp-Method', { 'Mcp-Method': 'TOOLS/CALL' }],
  ['Mcp-Name', { 'Mcp-Name': 'other' }],
  ['Mcp-Name', { 'Mcp-Name': 'Z3LDvMOfZQ==' }],
  ['Mcp-Name', { 'Mcp-Name': '=?BASE64?Z3LDvMOfZQ==?=' }],
  ['Mcp-Name', { 'Mcp-Name': '=?base64?Z3LDvMOfZQ?=' }],
])('finds that %s says something else', (header, change) => {
  const problem = { kind: 'mismatch', header };
  expect(compareHeaders(modern, new Fields({ ...right, ...change }))).toEqual(problem);
});

test.each(['MCP-Protocol-Version', 'Mcp-Method', 'Mcp-Name'])('finds that %s is missing or doubled', (header) => {
  const without = new Fields(right);
  without.delete(header);
  expect(compareHeaders(modern, without)).toEqual({ kind: 'mismatch', header });
  const doubled = new Fields(right);
  doubled.append(header, doubled.get(header)!);
  expect(compareHeaders(modern, doubled)).toEqual({ kind: 'mismatch', header });
});

test('asks no Mcp-Name of a method that the modern era has not: the upstream refuses it', () => {
  const result: RequestMessage = { ...modern, method: 'tasks/result', name: 'task-1' };
  const headers = { 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tasks/result' };
  expect(compareHeaders(result, new Fields(headers))).toBe(result);
});

test('asks a revision it does not know for no header, but lets none say something else', () => {
  expect(compareHeaders(future, new Fields())).toBe(future);
  for (const [header, value] of Object.entries(right)) {
    const other = { 'Mcp-Name': 'x', 'Mcp-Method': 'x' }[header] ?? value;
    expect(compareHeaders(future, new Fields({ [header]: other }))).toEqual({ kind: 'mismatch', header });
  }
});

test('compares nothing in a legacy request, whatever its headers are called', () => {
  const headers = { 'Mcp-Name': 'other', 'Mcp-Method': 'x', 'MCP-Protocol-Version': '2025-11-25' };
  expect(compareHeaders(legacy, new Fields(headers))).toBe(legacy);
});

test('lets no header make a request modern whose body does not', () => {
  const headers = new Fields({ 'MCP-Protocol-Version': '2026-07-28' });
  expect(compareHeaders(legacy, headers)).toEqual({ kind: 'claimMissing' });
  const handshake = { ...legacy, method: 'initialize' };
  expect(compareHeaders(handshake, headers)).toEqual({ kind: 'mismatch', header: 'MCP-Protocol-Version' });
});

test.each<[Partial<NotificationMessage>, Record<string, string>, object]>([
  [{}, {}, { era: 'legacy', protocolVersion: undefined }],
  [{}, { 'MCP-Protocol-Version': '2025-11-25', 'Mcp-Method': 'x' }, { era: 'legacy' }],
  [{}, { 'MCP-Protocol-Version': '2026-07-28' }, { era: 'modern', protocolVersion: '2026-07-28' }],
  [{}, { 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'x' }, { kind: 'mismatch', header: 'Mcp-Method' }],
  [{ protocolVersion: '2026-07-28', era: 'modern' }, {}, { era: 'modern' }],
  [
    { protocolVersion: '2026-07-28', era: 'modern' },
    { 'MCP-Protocol-Version': '2025-11-25' },
    { kind: 'mismatch', header: 'MCP-Protocol-Version' },
  ],
])('settles the era of a notification: %j with the headers %j', (change, headers, expected) => {
  expect(compareHeaders({ ...notification, ...change }, new Fields(headers))).toMatchObject(expected);
});

test('leaves a posted response as it is', () => {
  const response = { kind: 'response', id: 1 } as const;
  expect(compareHeaders(response, new Fields(right))).toBe(response);
});

test.each([
  ['plain', 'plain'],
  ['=?base64?aGk=?=', 'hi'],
  ['=?base64??=', ''],
  ['=?BASE64?aGk=?=', '=?BASE64?aGk=?='],
  ['=?base64?a*?=', undefined],
  ['=?base64?aGk?=', undefined],
  ['=?base64?/w==?=', undefined],
])('decodes the header text %j to %j', (text, decoded) => {
  expect(decodeHeaderText(text)).toBe(decoded);
});
