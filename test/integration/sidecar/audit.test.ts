import { beforeAll, expect, test } from 'vitest';
import { BrokerDouble, granted, missing, serverRef, subject } from './support/broker-double.ts';
import { buildOnce, SidecarProcess } from './support/sidecar-process.ts';
import { Upstream } from './support/upstream.ts';
import { call, eventually, post, rpc } from './support/wire.ts';

beforeAll(buildOnce);

test('records each request exactly once, with who, what and the outcome, and nothing of its content', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  broker.setLease('carol', missing('carol'));
  const request = call('search', { text: 'private words' }, 'id-9');
  const response = await post(sidecar.url, request, { token: 'alice' });
  const answer = await response.text();
  await post(sidecar.url, call('search'), { token: 'carol' });
  await post(sidecar.url, rpc('tools/list'), { token: 'mallory' });
  await post(sidecar.url, '[]', { token: 'alice' });
  await fetch(sidecar.url, { headers: { authorization: 'Bearer alice' } });
  await eventually(() => broker.events.size === 5);
  const [forwarded, keyMissing, stranger, batch, stream] = broker.events.values();
  expect(forwarded).toMatchObject({
    type: 'request',
    server: serverRef,
    subject: subject('alice'),
    leaseId: 'lease-alice',
    keyVersion: 3,
    httpMethod: 'POST',
    method: 'tools/call',
    tool: 'search',
    rpcId: 'id-9',
    decision: 'forwarded',
    httpStatus: 200,
    era: 'legacy',
    rpcStatus: 0,
    requestBytes: request.length,
    responseBytes: answer.length,
  });
  expect(keyMissing).toMatchObject({
    subject: subject('carol'),
    decision: 'keyMissing',
    httpStatus: 200,
    tool: 'search',
  });
  expect(stranger).toMatchObject({ decision: 'unauthenticated', httpStatus: 401 });
  expect(stranger).not.toHaveProperty('subject');
  expect(batch).toMatchObject({ subject: subject('alice'), decision: 'badRequest', httpStatus: 400 });
  expect(stream).toMatchObject({ httpMethod: 'GET', decision: 'forwarded', httpStatus: 405 });
  expect(stream).not.toHaveProperty('method');
  expect(JSON.stringify([...broker.events.values()])).not.toContain('private words');
  expect(broker.receivedIds).toHaveLength(5);
});

test('sends the same events again until the broker has them', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  broker.auditStatus = 503;
  for (let index = 0; index < 20; index += 1) await post(sidecar.url, call('x'), { token: 'alice' });
  await eventually(async () => /mcpkeyring_audit_send_failures_total [1-9]/.test(await sidecar.metrics()));
  expect(await sidecar.metrics()).toMatch(/mcpkeyring_audit_queue 20/);
  expect(broker.events.size).toBe(0);
  broker.auditStatus = 200;
  await eventually(() => broker.events.size === 20);
  await eventually(async () => /mcpkeyring_audit_queue 0/.test(await sidecar.metrics()));
});

test('keeps its counts where Prometheus finds them', async () => {
  await using broker = await BrokerDouble.start();
  await using upstream = await Upstream.recording();
  await using sidecar = await SidecarProcess.start({ broker, upstreamPort: upstream.port });
  broker.setLease('alice', granted('alice', 'k'));
  for (const body of [call('x'), call('y'), rpc('made/up'), rpc('tools/list')])
    await post(sidecar.url, body, { token: 'alice' });
  await post(sidecar.url, call('x'));
  await eventually(() => broker.events.size === 5);
  const metrics = await sidecar.metrics();
  expect(metrics).toContain('mcpkeyring_requests_total{decision="forwarded",code="2xx"} 4');
  expect(metrics).toContain('mcpkeyring_requests_total{decision="unauthenticated",code="4xx"} 1');
  expect(metrics).toContain(
    'mcp_server_operation_duration_seconds_count{mcp_method_name="tools/call",gen_ai_tool_name="x"} 1',
  );
  expect(metrics).toContain('mcp_server_operation_duration_seconds_count{mcp_method_name="_OTHER"} 1');
  expect(metrics).toContain(
    'mcp_server_operation_duration_seconds_bucket{mcp_method_name="tools/call",gen_ai_tool_name="y",le="300"} 1',
  );
  expect(metrics).toContain('mcpkeyring_leases 1');
  expect(metrics).toContain('mcpkeyring_watch_connected 1');
  expect(metrics).toContain('mcpkeyring_lease_answers_total{answer="granted"} 1');
  await eventually(async () =>
    (await sidecar.metrics()).includes('mcpkeyring_audit_events_total{result="accepted"} 5'),
  );
  expect(metrics).toContain('mcpkeyring_requests_in_flight 0');
});
