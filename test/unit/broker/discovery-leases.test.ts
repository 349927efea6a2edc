import { describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { KubeError } from '#operator/kube/errors.ts';
import { alice, brokerWorld, github, mcpServer, userKeyOf, type BrokerWorld } from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';

const podToken = 'pod:team-a/github-0';
const secret = { namespace: 'team-a', name: 'github-discovery' };

function worldOf(change: Partial<McpServer['spec']['authentication']> = {}): BrokerWorld {
  const world = brokerWorld();
  const server = mcpServer();
  const discoveryKeySecretRef = { name: secret.name };
  const authentication = { ...server.spec.authentication, discoveryKeySecretRef, ...change };
  world.sources.mcpServers.put({ ...server, spec: { ...server.spec, authentication } });
  world.referencedSecrets.put(secret, { Authorization: 'discovery-key' }, 'github');
  return world;
}

const ask = (world: BrokerWorld) =>
  servicesOf(world).leases.lease({ server: github, credential: 'token-of-alice' }, podToken).then(readAnswer);

describe('a user without a key', () => {
  test('gets the one for discovery beside the answer, on record', async () => {
    const world = worldOf();
    const answer = await ask(world);
    expect(answer).toMatchObject({
      decision: 'missing',
      hints: [{ name: 'Authorization' }],
      discovery: { keyVersion: 101, headers: [{ name: 'Authorization', value: 'Bearer discovery-key' }] },
    });
    expect(answer).not.toHaveProperty('headers');
    const { leaseId } = (answer as { discovery: { leaseId: string } }).discovery;
    expect(world.audit.events).toMatchObject([{ type: 'lease', leaseId, subject: alice, keySource: 'discovery' }]);
    expect(JSON.stringify(world.audit.events)).not.toContain('discovery-key');
  });

  test.each<[string, (world: BrokerWorld) => void]>([
    ['it cannot be recorded', (world) => void (world.audit.isDown = true)],
    ['nobody can read it', (world) => void (world.referencedSecrets.failure = new KubeError('Unavailable', 'down'))],
    ['the operator may not', ({ referencedSecrets }) => referencedSecrets.become(secret, { kind: 'forbidden' })],
    [
      'it is for another server',
      ({ referencedSecrets }) => referencedSecrets.put(secret, { Authorization: 'k' }, 'jira'),
    ],
  ])('gets the answer without, where %s', async (_, change) => {
    const world = worldOf();
    change(world);
    const answer = await ask(world);
    expect(answer).toMatchObject({ decision: 'missing' });
    expect(answer).not.toHaveProperty('discovery');
  });
});

test('whoever has a key, in whatever state, or shares one, gets none for discovery', async () => {
  const world = worldOf();
  world.keyStore.set(alice, { Authorization: 'key-of-alice' });
  for (const state of ['Configured', 'Invalid', 'Revoked', 'PendingApproval'] as const) {
    world.sources.userKeys.put(userKeyOf(alice, github, { version: 1, state }));
    expect(await ask(world)).not.toHaveProperty('discovery');
  }
  const shared = worldOf({ mode: 'Shared', sharedKeySecretRef: { name: 'absent' } });
  const answer = await ask(shared);
  expect(answer).toMatchObject({ decision: 'missing', keySource: 'shared' });
  expect(answer).not.toHaveProperty('discovery');
});
