import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { RequestEvent } from '#contract/audit.ts';
import { alice, brokerWorld, github, podOf } from '#test/support/broker-world.ts';
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
