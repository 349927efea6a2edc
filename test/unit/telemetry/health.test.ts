import { once } from 'node:events';
import { connect } from 'node:net';

import { afterEach, describe, expect, test } from 'vitest';

import {
  type HealthCheck,
  type ListeningServer,
  startHealthServer,
  startMetricsServer,
} from '#operator/telemetry/health.ts';
import { createMetrics } from '#operator/telemetry/metrics.ts';

let server: ListeningServer | undefined;

afterEach(async () => {
  await server?.close();
});

const here = { host: '127.0.0.1', port: 0 };
const ask = (path: string, init?: RequestInit): Promise<Response> =>
  fetch(`http://127.0.0.1:${server!.port}${path}`, init);

describe('probes', () => {
  test('livez works while readyz names what fails', async () => {
    let reason: string | undefined = 'the first list has not arrived';
    const ready: HealthCheck[] = [
      { name: 'informers', failing: () => reason },
      { name: 'certificate', failing: () => undefined },
    ];
    server = await startHealthServer({ ...here, live: [], ready });
    expect((await ask('/livez')).status).toBe(200);
    const failing = await ask('/readyz');
    expect(failing.status).toBe(503);
    expect(await failing.text()).toBe('[-] informers: the first list has not arrived\n[+] certificate ok\nfailed\n');
    reason = undefined;
    expect((await ask('/readyz?verbose')).status).toBe(200);
  });

  test('a check with a defect is 500, and the server goes on', async () => {
    const broken = {
      name: 'broken',
      failing: () => {
        throw new Error('secret');
      },
    };
    server = await startHealthServer({ ...here, live: [], ready: [broken] });
    const response = await ask('/readyz');
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('internal error\n');
    expect((await ask('/livez')).status).toBe(200);
  });

  test('other paths and methods are refused, and a body ends the connection', async () => {
    server = await startHealthServer({ ...here, live: [], ready: [] });
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/constructor')).status).toBe(404);
    const post = await ask('/livez', { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('connection')]).toEqual([405, 'close']);
    expect(await (await ask('/livez', { method: 'HEAD' })).text()).toBe('');
  });

  test('closing does not wait for idle connections', async () => {
    server = await startHealthServer({ ...here, live: [], ready: [] });
    const idle = connect(server.port, '127.0.0.1');
    await once(idle, 'connect');
    const closed = once(idle, 'close');
    await server.close();
    expect(await closed).toHaveLength(1);
  });
});

test('metrics are on a server of their own, under the names that dashboards know', async () => {
  const metrics = createMetrics({ processMetrics: true });
  metrics.requests.requestEnded({ method: 'GET', code: '200', host: 'k:443' });
  metrics.leader('mcp-keyring-operator').leading(true);
  metrics.controller('mcpserver').workers(2);
  metrics.workQueue('mcpserver').watchUnfinished(() => ({ sumMs: 1500, longestMs: 1000 }));
  metrics.informer('pods').synced({ resourceVersion: '7', objects: 3 });
  server = await startMetricsServer({ ...here, registry: metrics.registry });
  const response = await ask('/metrics');
  const text = await response.text();
  expect(response.headers.get('content-type')).toContain('text/plain');
  for (const line of [
    'rest_client_requests_total{code="200",method="GET",host="k:443"} 1',
    'leader_election_master_status{name="mcp-keyring-operator"} 1',
    'controller_runtime_max_concurrent_reconciles{controller="mcpserver"} 2',
    'controller_runtime_reconcile_panics_total{controller="mcpserver"} 0',
    'workqueue_unfinished_work_seconds{name="mcpserver"} 1.5',
    'workqueue_longest_running_processor_seconds{name="mcpserver"} 1',
    'mcpkeyring_informer_objects{resource="pods"} 3',
    'mcpkeyring_informer_synced{resource="pods"} 1',
  ]) {
    expect(text).toContain(line);
  }
  for (const name of [
    'mcpkeyring_informer_last_event_age_seconds',
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_p99_seconds',
  ]) {
    expect(text).toContain(name);
  }
});
