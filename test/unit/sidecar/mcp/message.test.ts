import { expect, test } from 'vitest';
import {
  clientCapabilitiesKey,
  type Message,
  parseMessage,
  protocolVersionKey,
  type RequestMessage,
} from '#sidecar/mcp/message.ts';

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

const notification = { kind: 'notification', era: 'legacy', protocolVersion: undefined } as const;

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
  [
    { id: 1, method: 'tools/call', params: { name: 'search', _meta: { [protocolVersionKey]: '2027-01-01' } } },
    { ...request, era: 'modern', protocolVersion: '2027-01-01' },
  ],
  [
    { id: 1, method: 'initialize', params: { _meta: { [protocolVersionKey]: '2026-07-28' } } },
    { ...request, method: 'initialize', protocolVersion: '2026-07-28', tool: undefined, name: undefined },
  ],
  [
    {
      id: 1,
      method: 'initialize',
      params: { _meta: { [protocolVersionKey]: '2026-07-28', [clientCapabilitiesKey]: {} } },
    },
    {
      ...request,
      method: 'initialize',
      era: 'modern',
      protocolVersion: '2026-07-28',
      tool: undefined,
      name: undefined,
    },
  ],
  [{ method: 'notifications/initialized' }, { ...notification, method: 'notifications/initialized' }],
  [
    { method: 'notifications/cancelled', params: { _meta: { [protocolVersionKey]: '2026-07-28' } } },
    { ...notification, method: 'notifications/cancelled', era: 'modern', protocolVersion: '2026-07-28' },
  ],
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
  [{ jsonrpc: '2.0', id: 1, method: 'ping', result: {} }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', id: 1, method: 'ping', error: {} }, 'NotJsonRpc'],
  [{ jsonrpc: '2.0', error: { code: 1, message: 'm' } }, 'NotJsonRpc'],
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

test.each([
  [{ id: 1, method: 'ping', METHOD: 'tools/call' }, undefined],
  [{ id: 1, Method: 'tools/call' }, undefined],
  [{ id: 1, method: 'tools/call', params: { name: 'read' }, 'param\u{17f}': { name: 'delete' } }, undefined],
  [{ id: 1, Id: 2, method: 'ping' }, undefined],
  [{ id: 1, Result: {}, method: 'ping' }, undefined],
  [{ id: 1, method: 'tools/call', params: { name: 'read', Name: 'delete' } }, 1],
  [{ id: 1, method: 'resources/read', params: { uri: 'a', URI: 'b' } }, 1],
  [{ id: 1, method: 'tasks/get', params: { taskId: 'a', taskid: 'b' } }, 1],
  [{ id: 1, method: 'tasks/get', params: { 'tas\u{212a}Id': 'b' } }, 1],
  [{ id: 1, method: 'ping', params: { _Meta: {} } }, 1],
])('refuses %j, which a parser that folds case would read as another message', (body, id) => {
  const refusal = { kind: 'invalid', problem: 'LookalikeKey', ...(id === undefined ? {} : { id }) };
  expect(parse({ jsonrpc: '2.0', ...body })).toEqual(refusal);
});

test('lets the arguments of a tool, and what else is not judged, have any keys', () => {
  const params = { name: 'x', arguments: { Name: 1, METHOD: 2, Id: 3 }, URI: 4 };
  expect(parse({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })).toMatchObject({ kind: 'message' });
});

test.each([
  [{ id: 1, method: 'pi\ud800ng' }, 'BadMethod'],
  [{ id: 1, method: 'tools/call', params: { name: 'x\udc00' } }, 'BadName'],
  [{ id: 1, method: 'ping', params: { _meta: { [protocolVersionKey]: 20260728 } } }, 'BadProtocolVersion'],
  [{ id: 1, method: 'ping', params: { _meta: { [protocolVersionKey]: null } } }, 'BadProtocolVersion'],
])('refuses %j as %s, with its id', (body, problem) => {
  expect(parse({ jsonrpc: '2.0', ...body })).toEqual({ kind: 'invalid', problem, id: 1 });
});
