import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createKubeClient } from '#operator/kube/api-client.ts';
import type { EventRequest } from '#operator/kube/event-planner.ts';
import { createEventRecorder, eventsWaitingMax, type EventRecorder } from '#operator/kube/event-recorder.ts';
import { events } from '#operator/kube/resources.ts';
import { createTransport, type Transport } from '#operator/kube/transport.ts';
import { FaultApiServer } from '#test/support/fault-api-server.ts';
import { ManualClock } from '#test/support/manual-clock.ts';

import { eventually } from './informer-fixture.ts';

const regarding = { apiVersion: 'mcpkeyring.io/v1alpha1', kind: 'McpServer', namespace: 'n', name: 'x', uid: 'u' };

function event(note: string, name = 'x'): EventRequest {
  return { regarding: { ...regarding, name }, type: 'Warning', reason: 'PortConflict', action: 'Reconcile', note };
}

describe('event recorder', () => {
  let server: FaultApiServer;
  let transport: Transport;
  let clock: ManualClock;
  let recorder: EventRecorder;

  beforeEach(async () => {
    server = await FaultApiServer.start([events]);
    transport = createTransport({ source: server.source, userAgent: 'test' });
    clock = new ManualClock();
    const client = createKubeClient({ transport });
    const names = { reportingController: 'mcpkeyring.io/operator', reportingInstance: 'pod-0' };
    recorder = createEventRecorder({ client, clock, ...names });
  });

  afterEach(async () => {
    await recorder.close();
    await transport.close();
    await server.close();
  });

  const notes = (): readonly (string | undefined)[] => server.objects(events).map((one) => one.note);

  test('tells an event about an object, in its namespace', async () => {
    recorder.record(event('port 8080 is taken'));
    await eventually(() => expect(server.objects(events)).toHaveLength(1));
    expect(server.objects(events)[0]).toMatchObject({
      metadata: { namespace: 'n' },
      regarding,
      reason: 'PortConflict',
      note: 'port 8080 is taken',
      reportingInstance: 'pod-0',
    });
    expect(server.objects(events)[0]?.eventTime).toMatch(/^\d{4}-.*\.\d{6}Z$/);
  });

  test('counts the same event in its series instead of making it again', async () => {
    for (let time = 0; time < 3; time += 1) recorder.record(event('same'));
    await eventually(() => expect(server.objects(events)[0]?.series?.count).toBe(3));
    expect(server.objects(events)).toHaveLength(1);
  });

  test('makes an event again that expired on the server', async () => {
    recorder.record(event('same'));
    await eventually(() => expect(server.objects(events)).toHaveLength(1));
    server.remove(events, { namespace: 'n', name: server.objects(events)[0]!.metadata.name });
    recorder.record(event('same'));
    await eventually(() => expect(notes()).toEqual(['same']));
    recorder.record(event('same'));
    await eventually(() => expect(server.objects(events)[0]?.series?.count).toBe(2));
  });

  test('more than ten alike become one', async () => {
    for (let index = 0; index < 20; index += 1) recorder.record(event(`note ${index}`));
    await eventually(() => expect(server.requests).toHaveLength(20));
    expect(notes()).toHaveLength(11);
    expect(notes().at(-1)).toBe('(combined from similar events): note 10');
  });

  test('an object gets 25 events at once and then one in five minutes; others are not affected', async () => {
    for (let index = 0; index < 100; index += 1) recorder.record({ ...event('same'), reason: `Reason${index}` });
    recorder.record(event('other', 'y'));
    await eventually(() => expect(notes()).toContain('other'));
    expect(server.requests).toHaveLength(26);
    await clock.advance(300_000);
    recorder.record({ ...event('same'), reason: 'Later' });
    recorder.record({ ...event('same'), reason: 'TooSoon' });
    await recorder.close();
    expect(server.requests).toHaveLength(27);
  });

  test('never holds up or fails its caller: what cannot be sent is logged, what is too much is dropped', async () => {
    server.inject({ times: Infinity, effect: { kind: 'status', status: 403 } });
    for (let index = 0; index < eventsWaitingMax + 100; index += 1) recorder.record(event('same', `x${index}`));
    await recorder.close();
    expect(server.requests).toHaveLength(eventsWaitingMax + 1);
    recorder.record(event('after close'));
    await recorder.close();
    expect(server.requests).toHaveLength(eventsWaitingMax + 1);
  });
});
