import { describe, expect, test } from 'vitest';

import { SecretBytes } from '#operator/envelope/secret-bytes.ts';
import { alice, brokerWorld, github, mcpServer, podOf } from '#test/support/broker-world.ts';
import { readAnswer, servicesOf } from '#test/support/lease-service-of.ts';
import { verifies } from '#test/requirements.ts';

const value = 'ghp_to-be-tried';
const claims = { organization: 'default', server: github, serverUid: 'uid-of-github', subject: alice, keyVersion: 0 };

function sealed(world: ReturnType<typeof brokerWorld>, change: Partial<typeof claims> = {}): string {
  using bytes = SecretBytes.takeFrom(Buffer.from(value));
  return world.probeCredentials.seal({ ...claims, ...change }, [{ name: 'Authorization', value: bytes }]) ?? '';
}

describe('a probe credential, shown by a sidecar', () => {
  test('leases exactly the key in it, without looking at what is stored, and is on record for its user', async () => {
    const world = brokerWorld();
    world.keyStore.set(alice, { Authorization: 'ghp_stored' });
    const answer = readAnswer(
      await servicesOf(world).leases.lease({ server: github, credential: sealed(world) }, 'pod:team-a/github-0'),
    );
    expect(answer).toMatchObject({
      decision: 'granted',
      probe: true,
      subject: { issuer: 'mcp-keyring', id: 'probe' },
      subjectKey: expect.stringMatching(/^probe-/u) as string,
      headers: [{ name: 'Authorization', value: `Bearer ${value}` }],
      keyVersion: 0,
    });
    expect(world.keyStore.calls).toEqual([]);
    expect(world.audit.events).toMatchObject([{ type: 'lease', subject: alice, headerNames: ['Authorization'] }]);
    expect(JSON.stringify(world.audit.events)).not.toContain(value);
  });

  test('is refused when the lease cannot be put on record', async () => {
    const world = brokerWorld();
    world.audit.isDown = true;
    const answer = await servicesOf(world).leases.lease(
      { server: github, credential: sealed(world) },
      'pod:team-a/github-0',
    );
    expect(readAnswer(answer)).toMatchObject({ decision: 'denied', reason: 'AuditUnavailable' });
  });

  test(verifies('validation:credential-bound'), async () => {
    const other = { namespace: 'team-a', name: 'jira' };
    const attempts = [
      { what: 'another server', server: other, pod: 'pod:team-a/jira-0', change: {} },
      {
        what: 'a later server of the name',
        server: github,
        pod: 'pod:team-a/github-0',
        change: { serverUid: 'older' },
      },
      { what: 'another organization', server: github, pod: 'pod:team-a/github-0', change: { organization: 'other' } },
      { what: 'an agent', server: github, pod: 'pod:team-a/agent-0', change: {} },
      { what: 'a gateway', server: github, pod: 'pod:mcp-keyring/gateway-0', change: {} },
    ];
    for (const { what, server, pod, change } of attempts) {
      const world = brokerWorld();
      world.sources.mcpServers.put(mcpServer(other));
      world.sources.pods.put(podOf(other, 'jira-0'));
      const agent = { 'mcpkeyring.io/injected': 'true', 'mcpkeyring.io/agent': 'true' };
      const annotations = { 'mcpkeyring.io/servers': 'team-a/github' };
      world.sources.agentPods.put(podOf(github, 'agent-0', { labels: agent, annotations }));
      const gateway = { namespace: 'mcp-keyring', name: 'gateway' };
      world.sources.gatewayPods.put(podOf(gateway, 'gateway-0', { labels: { 'mcpkeyring.io/gateway': 'true' } }));
      const outcome = await servicesOf(world)
        .leases.lease({ server, credential: sealed(world, change) }, pod)
        .then(readAnswer, (error: unknown) => error);
      expect(outcome, what).not.toMatchObject({ decision: 'granted' });
      expect(JSON.stringify(outcome), what).not.toContain(value);
    }
  });

  test('made by nobody of ours is nobody', async () => {
    const world = brokerWorld();
    const answer = await servicesOf(world).leases.lease(
      { server: github, credential: `mkp_${'A'.repeat(80)}` },
      'pod:team-a/github-0',
    );
    expect(readAnswer(answer)).toMatchObject({ decision: 'unauthenticated', reason: 'CredentialMalformed' });
    expect(world.audit.events).toMatchObject([{ type: 'denied', action: 'lease' }]);
  });
});
