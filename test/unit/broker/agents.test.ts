import { randomUUID } from 'node:crypto';

import { describe, expect, test } from 'vitest';

import type { RequestEvent } from '#contract/audit.ts';
import type { ServerRef } from '#contract/lease.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { alice, bob, brokerWorld, mcpServer, userKeyOf, type BrokerWorld } from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const key = 'lin_the-key-of-alice';
const remote = { upstream: { remote: { url: 'https://mcp.linear.example/mcp', allowPrivateAddresses: false } } };
const linear: ServerRef = { namespace: 'team-b', name: 'linear' };
const slack: ServerRef = { namespace: 'team-b', name: 'slack' };
const notes: ServerRef = { namespace: 'team-b', name: 'notes' };
const podToken = 'pod:team-a/assistant-0';

/** An agent in `team-a` with servers of `team-b`: two remote ones, and one in the cluster. Alice has a key for each. */
function agentWorld(injected = 'team-b/linear,team-b/notes'): BrokerWorld {
  const world = brokerWorld();
  const trusted = world.tenancies.get('team-a');
  if (trusted !== undefined) world.tenancies.set('team-b', trusted);
  for (const ref of [linear, slack, notes]) {
    const server = mcpServer(ref);
    world.sources.mcpServers.put(ref === notes ? server : { ...server, spec: { ...server.spec, ...remote } });
    world.keyStore.set(alice, { Authorization: key }, { server: ref });
    world.sources.userKeys.put(userKeyOf(alice, ref));
  }
  world.sources.agentPods.put(agentPod(injected));
  return world;
}

function agentPod(injected: string): KubeObject {
  const metadata = {
    name: 'assistant-0',
    namespace: 'team-a',
    uid: 'uid-of-assistant-0',
    labels: { 'mcpkeyring.io/agent': 'true', 'mcpkeyring.io/injected': 'true' },
    annotations: { 'mcpkeyring.io/injected-servers': injected },
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}

async function lease(world: BrokerWorld, server: ServerRef, credential = 'token-of-alice'): Promise<unknown> {
  return readAnswer(await servicesOf(world).leases.lease({ server, credential }, podToken));
}

describe('an agent pod', () => {
  test('gets the key of the user who shows a token, for a server that it was injected with, and its namespace is on record', async () => {
    const world = agentWorld();
    expect(await lease(world, linear)).toMatchObject({ decision: 'granted', subject: alice });
    expect(world.audit.events).toMatchObject([
      { type: 'lease', server: linear, pod: { name: 'assistant-0', namespace: 'team-a' } },
    ]);
  });

  test('gets nothing for a user who shows no good token, and for one who has no key', async () => {
    const world = agentWorld();
    expect(await lease(world, linear, 'forged')).toMatchObject({ decision: 'unauthenticated' });
    expect(await lease(world, linear, 'token-of-bob')).toMatchObject({ decision: 'missing', subject: bob });
    // Its own token is no user's.
    expect(await lease(world, linear, podToken)).toMatchObject({ decision: 'unauthenticated' });
    expect(world.keyStore.opened).toEqual([]);
  });

  test.each<[string, ServerRef, string]>([
    ['a server that it was not injected with', slack, 'ServerNotInjected'],
    ['a server in the cluster, which has a sidecar of its own', notes, 'ServerNotRemote'],
    ['a server of the namespace it runs in', { namespace: 'team-a', name: 'github' }, 'ServerNotInjected'],
  ])('gets nothing for %s, and that is on record', async (_, server, reason) => {
    const world = agentWorld();
    await expect(lease(world, server)).rejects.toMatchObject({ code: 'ERR_POD_FORBIDDEN' });
    expect(world.identified).toEqual([]);
    expect(world.audit.events).toMatchObject([{ type: 'denied', action: 'lease', reason, server }]);
  });

  test('gets nothing any more once its namespace, or that of the server, is of another organization', async () => {
    for (const namespace of ['team-a', 'team-b']) {
      const world = agentWorld();
      world.tenancies.set(namespace, { kind: 'organization', name: 'research', issuers: [] });
      await expect(lease(world, linear)).rejects.toMatchObject({ code: 'ERR_POD_FORBIDDEN' });
    }
    const both = agentWorld();
    for (const namespace of ['team-a', 'team-b']) both.tenancies.set(namespace, { kind: 'none' });
    await expect(lease(both, linear)).rejects.toMatchObject({ code: 'ERR_POD_FORBIDDEN' });
  });
});

const event = (server: ServerRef): RequestEvent => ({
  id: randomUUID(),
  at: '2026-11-25T02:00:00.000Z',
  type: 'request',
  server,
  subject: alice,
  httpMethod: 'POST',
  method: 'tools/call',
  decision: 'forwarded',
  httpStatus: 200,
  durationMs: 12,
  requestBytes: 100,
  responseBytes: 200,
});

describe('the report of an agent', () => {
  test('may be about all of its servers at once', async () => {
    const world = agentWorld();
    const events = [event(linear), event(notes), event(linear)];
    expect(await servicesOf(world).intake.take(events, podToken)).toBe(3);
    const reportedBy = { name: 'assistant-0', uid: 'uid-of-assistant-0', namespace: 'team-a' };
    expect(world.audit.events).toMatchObject([
      { server: linear, organization: 'default', reportedBy },
      { server: notes, organization: 'default', reportedBy },
      { server: linear, organization: 'default', reportedBy },
    ]);
  });

  test('is refused as a whole when one event is about a server that is not among them', async () => {
    const world = agentWorld();
    const events = [event(linear), event(slack)];
    await expect(servicesOf(world).intake.take(events, podToken)).rejects.toMatchObject({ code: 'ERR_POD_FORBIDDEN' });
    expect(world.audit.events).toMatchObject([{ type: 'denied', action: 'audit', reason: 'ServerNotInjected' }]);
  });
});
