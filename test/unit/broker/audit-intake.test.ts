import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import { auditBatchMax, type RequestEvent } from '#contract/audit.ts';
import type { RefusedRequests } from '#operator/audit/audit-log.ts';
import { brokerLimits } from '#operator/broker/limits.ts';
import { alice, type BrokerWorld, brokerWorld, github, podOf } from '#test/support/broker-world.ts';
import { servicesOf } from '#test/support/lease-service-of.ts';

const podToken = 'pod:team-a/github-0';

function requestEvent(change: Partial<RequestEvent> = {}): RequestEvent {
  return {
    id: randomUUID(),
    at: '2026-11-24T10:00:00.000Z',
    type: 'request',
    server: github,
    subject: alice,
    httpMethod: 'POST',
    decision: 'forwarded',
    httpStatus: 200,
    durationMs: 5,
    requestBytes: 10,
    responseBytes: 20,
    ...change,
  };
}

describe('what sidecars report', () => {
  test('is kept with who reported it and for which organization', async () => {
    const world = brokerWorld();
    const events = [requestEvent(), requestEvent()];
    expect(await servicesOf(world).intake.take(events, podToken)).toBe(2);
    const reportedBy = { name: 'github-0', uid: 'uid-of-github-0' };
    expect(world.audit.events).toEqual(events.map((event) => ({ ...event, organization: 'default', reportedBy })));
  });

  test('may come twice', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    const events = [requestEvent(), requestEvent()];
    expect([await intake.take(events, podToken), await intake.take(events, podToken)]).toEqual([2, 2]);
    expect(world.audit.events).toHaveLength(2);
  });

  test('is refused as a whole when one event is about another server', async () => {
    const world = brokerWorld();
    const foreign = requestEvent({ server: { namespace: 'team-a', name: 'jira' } });
    await expect(servicesOf(world).intake.take([requestEvent(), foreign], podToken)).rejects.toMatchObject({
      code: 'ERR_POD_FORBIDDEN',
    });
    expect(world.audit.events).toMatchObject([{ type: 'denied', action: 'audit', reason: 'PodServesAnotherServer' }]);
  });

  test('is refused from a pod of another server', async () => {
    const world = brokerWorld();
    world.sources.pods.put(podOf({ namespace: 'team-a', name: 'jira' }, 'jira-0'));
    await expect(servicesOf(world).intake.take([requestEvent()], 'pod:team-a/jira-0')).rejects.toMatchObject({
      code: 'ERR_POD_FORBIDDEN',
    });
  });

  test('is taken from a pod that terminates: its last requests belong on record', async () => {
    const world = brokerWorld();
    world.sources.pods.put(podOf(github, 'github-0', { deletionTimestamp: '2026-11-24T09:59:59Z' }));
    expect(await servicesOf(world).intake.take([requestEvent()], podToken)).toBe(1);
  });

  test('is not acknowledged while the log takes nothing', async () => {
    const world = brokerWorld();
    world.audit.isDown = true;
    await expect(servicesOf(world).intake.take([requestEvent()], podToken)).rejects.toMatchObject({
      code: 'ERR_AUDIT_UNAVAILABLE',
    });
  });

  test('is refused when it is nothing', async () => {
    await expect(servicesOf(brokerWorld()).intake.take([], podToken)).rejects.toMatchObject({
      code: 'ERR_BODY_INVALID',
    });
  });
});

const { refusalsRecordedPerPodMax: single, windowMs } = brokerLimits;

function refusedRequest(change: Partial<RequestEvent> = {}): RequestEvent {
  const { subject: _, ...event } = requestEvent({ decision: 'unauthenticated', httpStatus: 401, ...change });
  return event;
}

const refusedRequests = (count: number): RequestEvent[] => Array.from({ length: count }, () => refusedRequest());

function countsOf({ audit }: BrokerWorld): readonly RefusedRequests[] {
  return audit.events.filter((event) => event.type === 'request.refused');
}

describe('requests that were refused before a user was known', () => {
  test('are recorded one by one, up to so many of a pod in a minute; the rest is one count', async () => {
    const world = brokerWorld();
    const { intake, counted } = servicesOf(world);
    const times = ['2026-11-24T10:00:07.000Z', '2026-11-24T10:00:05.000Z', '2026-11-24T10:00:06.000Z'];
    const late = times.map((at) => refusedRequest({ at, decision: 'badRequest' }));
    expect(await intake.take(refusedRequests(single), podToken)).toBe(single);
    expect(await intake.take([...late, refusedRequest({ at: times[2]! })], podToken)).toBe(4);
    expect(world.audit.events.filter(({ type }) => type === 'request')).toHaveLength(single);
    expect(countsOf(world)).toMatchObject([
      {
        at: '2026-11-24T10:00:00.000Z',
        organization: 'default',
        server: github,
        reportedBy: { name: 'github-0', uid: 'uid-of-github-0' },
        count: 4,
        decisions: { badRequest: 3, unauthenticated: 1 },
        firstAt: times[1],
        lastAt: times[0],
        complete: false,
      },
    ]);
    expect(counted()).toBe(4);
  });

  test('cost a bounded number of bytes however many they are', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    for (let i = 0; i < 40; i += 1) await intake.take(refusedRequests(auditBatchMax), podToken);
    expect(countsOf(world)).toMatchObject([{ count: 40 * auditBatchMax - single }]);
    expect(world.audit.events).toHaveLength(single + 1);
    expect(JSON.stringify(world.audit.events).length).toBeLessThan(50_000);
  });

  test('are counted once when they are reported again, alone or with more', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    const batch = refusedRequests(single + 100);
    await intake.take(batch, podToken);
    const again = [...batch, ...refusedRequests(50)];
    expect([await intake.take(batch, podToken), await intake.take(again, podToken)]).toEqual([160, 210]);
    expect(world.audit.events.filter(({ type }) => type === 'request')).toHaveLength(single);
    expect(countsOf(world)).toMatchObject([{ count: 150 }]);
  });

  test('are counted once when they are reported again in the next minute', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    const batch = refusedRequests(single + 100);
    await intake.take(batch, podToken);
    world.clock.nowMs += windowMs;
    await intake.completeCounts('ended');
    expect(await intake.take(batch, podToken)).toBe(batch.length);
    expect(world.audit.events).toHaveLength(single + 1);
    expect(countsOf(world)).toMatchObject([{ count: 100, complete: true }]);
  });

  test('are acknowledged only when they are durable, and counted once when that takes two attempts', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    const batch = refusedRequests(single + 100);
    world.audit.isDown = true;
    await expect(intake.take(batch, podToken)).rejects.toMatchObject({ code: 'ERR_AUDIT_UNAVAILABLE' });
    world.audit.isDown = false;
    expect(await intake.take(batch, podToken)).toBe(batch.length);
    expect(countsOf(world)).toMatchObject([{ count: 100 }]);
    expect(world.audit.events).toHaveLength(single + 1);
  });

  test('have a count for each minute, completed when it is over, later if the log takes nothing then', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    await intake.take(refusedRequests(single + 1), podToken);
    await intake.completeCounts('ended');
    expect(countsOf(world)).toMatchObject([{ complete: false }]);
    world.clock.nowMs += windowMs;
    world.audit.isDown = true;
    await intake.completeCounts('ended');
    world.audit.isDown = false;
    await intake.completeCounts('ended');
    await intake.take(refusedRequests(single + 2), podToken);
    expect(countsOf(world)).toMatchObject([
      { count: 1, complete: true },
      { count: 2, complete: false },
    ]);
    await intake.close();
    expect(countsOf(world)).toMatchObject([{ complete: true }, { complete: true }]);
  });

  test('do not use up what another pod may record', async () => {
    const world = brokerWorld();
    world.sources.pods.put(podOf(github, 'github-1'));
    const { intake } = servicesOf(world);
    await intake.take(refusedRequests(auditBatchMax), podToken);
    await intake.take(refusedRequests(single), 'pod:team-a/github-1');
    expect(countsOf(world)).toHaveLength(1);
  });

  test('never hide a request of a user, nor one that reached the server', async () => {
    const world = brokerWorld();
    const { intake } = servicesOf(world);
    await intake.take(refusedRequests(auditBatchMax), podToken);
    const kept = [
      requestEvent({ decision: 'denied' }),
      requestEvent({ decision: 'unauthenticated' }),
      requestEvent({ decision: 'clientClosed' }),
      refusedRequest({ decision: 'forwarded' }),
      refusedRequest({ decision: 'keyMissing' }),
      refusedRequest({ decision: 'upstreamUnavailable' }),
      refusedRequest({ decision: 'clientClosed', leaseId: 'lease-1' }),
    ];
    await intake.take([...refusedRequests(100), ...kept], podToken);
    const ids = world.audit.events.map(({ id }) => id);
    for (const { id } of kept) expect(ids).toContain(id);
    expect(world.audit.events).toHaveLength(single + 1 + kept.length);
  });
});
