import { describe, expect, test } from 'vitest';

import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import { mcpServers } from '#operator/kube/keyring-resources.ts';
import type { Tenancy } from '#operator/tenancy/tenancy.ts';

import { github, organization, testIntake } from './fixtures.ts';

const set = { v: 1, operation: 'set', server: 'github' } as const;
const list = { v: 1, operation: 'list' } as const;
const remove = { v: 1, operation: 'delete', server: 'github' } as const;
const key = { authorization: 'ghp_example' };

function sharing(mode: McpServer['spec']['authentication']['mode']): McpServer {
  const authentication = { ...github.spec.authentication, mode, sharedKeySecretRef: { name: 'github-shared' } };
  return { ...github, spec: { ...github.spec, authentication } };
}

const standard: Tenancy = { ...organization, plan: 'Standard' } as Tenancy;
const refused = {
  outcome: 'refused',
  code: 'ServerNeedsNoKey',
  message: expect.stringContaining('of the organization'),
};

describe('a server with a key of the organization', () => {
  test('takes no keys of users in mode Shared, and in mode PerUserOrShared only where the plan has any', async () => {
    const world = await testIntake();
    world.cluster.put(mcpServers, sharing('Shared'));
    expect(await world.ask(set, key)).toMatchObject(refused);
    expect(await world.ask({ v: 1, operation: 'test', server: 'github' }, key)).toMatchObject(refused);
    world.cluster.put(mcpServers, sharing('PerUserOrShared'));
    expect(await world.ask(set, key)).toMatchObject({ outcome: 'ok', key: { state: 'Configured' } });
    const small = await testIntake({ tenancy: { organizationOf: () => standard } });
    for (const mode of ['PerUser', 'Shared', 'PerUserOrShared'] as const) {
      small.cluster.put(mcpServers, sharing(mode));
      expect(await small.ask(set, key)).toMatchObject(refused);
    }
  });

  test('asks nobody to set one, and lets one that is stored be deleted', async () => {
    const stateIn = async (world: Awaited<ReturnType<typeof testIntake>>): Promise<unknown> => {
      const listed = (await world.ask(list)) as unknown as { keys: { server: string; state: string }[] };
      return listed.keys.find(({ server }) => server === 'github')?.state;
    };
    const world = await testIntake();
    world.cluster.put(mcpServers, sharing('PerUserOrShared'));
    expect(await stateIn(world)).toBe('NotNeeded');
    await world.ask(set, key);
    expect(await stateIn(world)).toBe('Configured');
    world.cluster.put(mcpServers, sharing('Shared'));
    expect(await stateIn(world)).toBe('NotNeeded');
    expect(await world.ask(remove)).toMatchObject({ outcome: 'ok' });
  });
});
