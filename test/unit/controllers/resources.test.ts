import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';

import { desiredDeployment, desiredNetworkPolicy, desiredService } from '#operator/controllers/mcp-server/resources.ts';
import { desiredAdminsBinding, desiredCaConfigMap } from '#operator/controllers/organization/resources.ts';
import type { DesiredObject } from '#operator/controllers/decision.ts';

import { managedServer, organization, server } from './fixtures.ts';

const managed = { image: 'registry.example.com/github@sha256:0', port: 8080, path: '/mcp', replicas: 2 };
const full = {
  ...managed,
  args: ['--verbose'],
  env: [
    { name: 'LOG_LEVEL', value: 'debug' },
    { name: 'EMPTY', value: '' },
  ],
};

/** Reviewed by a person: `npx vitest run --project unit test/unit/controllers/resources.test.ts -u`, then read the diff. */
describe('desired objects', () => {
  test.each<[string, DesiredObject]>([
    ['service', desiredService(server())],
    ['network-policy', desiredNetworkPolicy(server())],
    ['deployment', desiredDeployment(managedServer(), managed)],
    ['deployment-args-env', desiredDeployment(managedServer(full), full)],
    [
      'admins-role-binding',
      desiredAdminsBinding(
        organization({ spec: { admins: { users: ['ann'], groups: ['platform', 'oidc:leads'] } } }),
        'team-a',
      ),
    ],
    ['ca-config-map', desiredCaConfigMap(organization(), 'team-a', '-----BEGIN CERTIFICATE-----\n')],
  ])('%s', async (name, object) => {
    await expect(stringify(object)).toMatchFileSnapshot(`../../golden/resources/${name}.yaml`);
  });

  test('send no empty list or value, which the API server drops and we would take for a change', () => {
    const text = JSON.stringify(
      desiredDeployment(managedServer(), { ...managed, args: [], env: [{ name: 'A', value: '' }] }),
    );
    expect(text).not.toMatch(/\[\]|""/);
  });
});
