import { describe, expect, test } from 'vitest';
import type { RequestMessage } from '#sidecar/mcp/message.ts';
import type { EndedRequest, RequestRecord } from '#sidecar/proxy/exchange.ts';
import { newRecord } from '#sidecar/proxy/record.ts';
import { seriesMax } from '#sidecar/telemetry/exposition.ts';
import { OperationLabels, toolLabelsMax } from '#sidecar/telemetry/operation-labels.ts';
import { durationBucketsSeconds, SidecarMetrics } from '#sidecar/telemetry/sidecar-metrics.ts';
import { verifies } from '#test/requirements.ts';

function ended(method: string, change: Partial<RequestRecord> = {}, httpStatus = 200): EndedRequest {
  const message = { kind: 'request', id: 1, method, tool: undefined } as RequestMessage;
  const record = { ...newRecord('POST', { startedMs: 0, at: new Date(0) }), message, ...change };
  return { record, httpStatus, responseBytes: 0, durationMs: 40 };
}

function called(tool: string, change: Partial<RequestRecord> = {}): EndedRequest {
  const call = ended('tools/call', { rpcStatus: 0, upstreamFirstByteMs: 1, ...change });
  return { ...call, record: { ...call.record, message: { ...(call.record.message as RequestMessage), tool } } };
}

describe('an operation is labelled', () => {
  test.each<[EndedRequest, string | undefined]>([
    [ended('tools/list', { rpcStatus: 0 }), 'mcp_method_name="tools/list"'],
    [ended('made/up'), 'mcp_method_name="_OTHER"'],
    [ended('ping', { rpcStatus: -32_601 }), 'mcp_method_name="ping",error_type="-32601"'],
    [ended('ping', { rpcStatus: 123_456 }), 'mcp_method_name="ping",error_type="_OTHER"'],
    [ended('ping', {}, 503), 'mcp_method_name="ping",error_type="503"'],
    [ended('ping', {}, 418), 'mcp_method_name="ping",error_type="_OTHER"'],
    [ended('ping', { decision: 'clientClosed' }, 0), 'mcp_method_name="ping",error_type="client_closed"'],
    [called('search'), 'mcp_method_name="tools/call",gen_ai_tool_name="search"'],
    [called('a"b'), 'mcp_method_name="tools/call",gen_ai_tool_name="a\\"b"'],
    [
      called('search', { isError: true }),
      'mcp_method_name="tools/call",gen_ai_tool_name="search",error_type="tool_error"',
    ],
    [
      called('zz', { rpcStatus: -32_602 }),
      'mcp_method_name="tools/call",gen_ai_tool_name="_OTHER",error_type="-32602"',
    ],
    [called('ours', { upstreamFirstByteMs: undefined }), 'mcp_method_name="tools/call",gen_ai_tool_name="_OTHER"'],
    [ended('subscriptions/listen', { isOpen: true }), undefined],
    [ended('ping', { message: { kind: 'response', id: 1 } }), undefined],
    [ended('ping', { message: undefined }), undefined],
  ])('%#', (request, labels) => {
    expect(new OperationLabels().of(request)).toBe(labels);
  });
});

test(verifies('mcp:30-metrics'), () => {
  const gauges = {
    leases: () => 0,
    watchConnected: () => true,
    auditQueue: () => 0,
    residentBytes: () => 0,
    cpuSeconds: () => 0,
  };
  const metrics = new SidecarMetrics(gauges);
  const subject = { issuer: 'https://issuer.example', id: 'u-secret', name: 'alice@example.com' };
  for (let index = 0; index < 5_000; index += 1) {
    metrics.end(called(`tool-${index}`, { subject }));
    metrics.end(called(`tool-${index}`, { subject, isError: true }));
    metrics.end(ended(`method-${index}`, { rpcStatus: index }));
  }
  const text = metrics.expose();
  const series = text.match(/^mcp_server_operation_duration_seconds_count/gm) ?? [];
  expect(series.length).toBeGreaterThan(2 * toolLabelsMax);
  expect(series.length).toBeLessThan(seriesMax);
  expect(text).not.toMatch(/u-secret|alice|issuer/);
  expect(text).toContain(
    'mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",gen_ai_tool_name="_OTHER"}',
  );
  for (const bound of durationBucketsSeconds) expect(text).toContain(`gen_ai_tool_name="tool-1",le="${bound}"`);
  expect(durationBucketsSeconds).toEqual([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]);
});
