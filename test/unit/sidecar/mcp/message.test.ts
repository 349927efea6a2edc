import { expect, test } from 'vitest';
import { type Message, parseMessage, protocolVersionKey, type RequestMessage } from '#sidecar/mcp/message.ts';
import { decodeHeaderText, findHeaderMismatch } from '#sidecar/mcp/standard-headers.ts';

function parse(value: unknown) {
  return parseMessage(new TextEncoder().encode(JSON.stringify(value)));
}

const request = {
  kind: 'request',
  id: 1,
  method: 'tools/call',
  era: 'legacy',
  protocolVersion: undefined,
  tool: 'search',
  name: 'search',
  elicitsUrl: false,
  traceparent: undefined,
} satisfies RequestMessage;

test.each<[object, Message]>([
  [{ id: 1, method: 'tools/call', params: { name: 'search', arguments: { name: 'inner' } } }, request],
  [
    { id: 'x', method: 'ping' },
    { ...request, id: 'x', method: 'ping', tool: undefined, name: undefined },
  ],
  [
    { id: 1, method: 'tools/call', params: { name: 'search', _meta: { [protocolVersionKey]: '2026-07-28' } } },
    { ...request, era: 'modern', protocolVersion: '2026-07-28' },
  ],
  [
    { id: 1, method: 'resources/read', params: { uri: 'file:///a', name: 'n' } },
    { ...request, method: 'resources/read', tool: undefined, name: 'file:///a' },
  ],
  [
    { id: 1, method: 'tools/call', params: { name: 7 } },
    { ...request, tool: undefined, name: undefined },
  ],
  [{ method: 'notifications/initialized' }, { kind: 'notification', method: 'notifications/initialized' }],
  [
    { id: 5, result: {} },
    { kind: 'response', id: 5 },
  ],
  [
    { id: 5, error: { code: 1, message: 'm' } },
    { kind: 'response', id: 5 },
  ],
])('reads %j', (body, message) => {
  expect(parse({ jsonrpc: '2.0', ...body })).toEqual({ kind: 'message', message });
});

test.each<[string, boolean, object]>([
  ['initialize', true, { capabilities: { elicitation: { form: {}, url: {} } } }],
  ['initialize', false, { capabilities: { elicitation: {} } }],
  ['initialize', false, { capabilities: { elicitation: { url: true } } }],
  ['initialize', false, {}],
  ['tools/list', false, { capabilities: { elicitation: { url: {} } } }],
  ['tools/call', true, { _meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: { url: {} } } } }],
  ['tools/call', false, { _meta: { 'io.modelcontextprotocol/clientCapabilities': { elicitation: [] } } }],
])('knows from %s that its client opens URLs: %j', (method, elicitsUrl, params) => {
  expect(parse({ jsonrpc: '2.0', id: 1, method, params })).toMatchObject({ message: { elicitsUrl } });
});

test.each<[unknown, string]>([
  [[], 'Batch'],
  [[{ jsonrpc: '2.0', id: 1, method: 'ping' }], 'Batch'],
  ['text', 'NotJsonRpc'],
  [null, 'NotJsonRpc'],
  [{ id: 1, method: 'ping' }, 'NotJsonRpc'],
  [{ jsonrpc: '1.0', id: 1, method: 'ping' }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', id: 1 }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', result: {} }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', id: 1, result: {}, error: {} }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', id: null, method: 'ping' }, 'BadId'],
  [{ jsonrpc: '2.0', id: 1.5, method: 'ping' }, 'BadId'],
  [{ jsonrpc: '2.0', id: 2 ** 53, method: 'ping' }, 'BadId'],
  [{ jsonrpc: '2.0', id: {}, method: 'ping' }, 'BadId'],
  [{ jsonrpc: '2.0', id: 'x'.repeat(257), method: 'ping' }, 'BadId'],
  [{ jsonrpc: '2.0', method: 7 }, 'BadMethod'],
  [{ jsonrpc: '2.0', method: '' }, 'BadMethod'],
])('refuses %j as %s', (value, problem) => {
  expect(parse(value)).toEqual({ kind: 'invalid', problem });
});

test('repeats the id of a request that it refuses', () => {
  expect(parse({ jsonrpc: '2.0', id: 'a', method: '' })).toEqual({ kind: 'invalid', problem: 'BadMethod', id: 'a' });
  expect(parse({ jsonrpc: '2.0', id: 3, method: 'ping', params: [] })).toEqual({
    kind: 'invalid',
    problem: 'BadParams',
    id: 3,
  });
});

const modern: RequestMessage = {
  ...request,
  era: 'modern',
  protocolVersion: '2026-07-28',
  name: 'grüße',
  tool: 'grüße',
};
const right = {
  'MCP-Protocol-Version': '2026-07-28',
  'Mcp-Method': 'tools/call',
  'Mcp-Name': '=?base64?Z3LDvMOfZQ==?=',
};

test('accepts a modern request whose headers repeat its body', () => {
  expect(findHeaderMismatch(modern, new Headers(right))).toBeUndefined();
});

test.each<[string, Record<string, string>]>([
  ['MCP-Protocol-Version', { 'MCP-Protocol-Version': '2025-11-25' }],
  ['Mcp-Method', { 'Mcp-Method': 'tools/list' }],
  ['Mcp-Method', { 'Mcp-Method': 'TOOLS/CALL' }],
  ['Mcp-Name', { 'Mcp-Name': 'other' }],
  ['Mcp-Name', { 'Mcp-Name': 'Z3LDvMOfZQ==' }],
])('finds that %s says something else', (name, change) => {
  expect(findHeaderMismatch(modern, new Headers({ ...right, ...change }))).toBe(name);
});

test.each(['MCP-Protocol-Version', 'Mcp-Method', 'Mcp-Name'])('finds that %s is missing or doubled', (name) => {
  const without = new Headers(right);
  without.delete(name);
  expect(findHeaderMismatch(modern, without)).toBe(name);
  const doubled = new Headers(right);
  doubled.append(name, doubled.get(name)!);
  expect(findHeaderMismatch(modern, doubled)).toBe(name);
});

test('compares nothing in a legacy request', () => {
  expect(findHeaderMismatch(request, new Headers({ 'Mcp-Name': 'other', 'Mcp-Method': 'x' }))).toBeUndefined();
});

test.each([
  ['plain', 'plain'],
  ['=?base64?aGk=?=', 'hi'],
  ['=?BASE64?aGk=?=', '=?BASE64?aGk=?='],
  ['=?base64?a*?=', '=?base64?a*?='],
  [null, null],
])('decodes the header text %j to %j', (text, decoded) => {
  expect(decodeHeaderText(text)).toBe(decoded);
});
