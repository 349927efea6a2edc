import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type ControlPlane, startControlPlane } from '#test/support/control-plane.ts';
import { operatorUser } from './guarded-cluster.ts';
import { helm } from './helm.ts';

type Program = 'helm' | 'helm3';
/** Which Helm does which step; a release may begin with one and go on with the other. */
const histories: readonly (readonly [install: Program, upgrade: Program])[] = [
  ['helm', 'helm'],
  ['helm3', 'helm3'],
  ['helm3', 'helm'],
];
const secrets = ['kek', 'index', 'tls', 'intake'].map((part) => `mcp-keyring-${part}`);
const caBundle = Buffer.from('-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n').toString('base64');

describe.each(histories)('a release installed by %s and upgraded by %s', (install, upgrade) => {
  let plane: ControlPlane;

  beforeAll(async () => {
    plane = await startControlPlane();
  });

  afterAll(async () => {
    await plane[Symbol.asyncDispose]();
  });

  const run = (program: Program, ...args: readonly string[]): Promise<string> =>
    helm([...args, '--namespace', 'mcp-keyring', '--kubeconfig', plane.kubeconfig], program);
  const installCharts = async (): Promise<void> => {
    await run(install, 'upgrade', '--install', 'mcp-keyring-crds', 'charts/mcp-keyring-crds', '--create-namespace');
    await run(install, 'upgrade', '--install', 'mcp-keyring', 'charts/mcp-keyring');
  };
  /** As the operator does it: fields of its own, which Helm does not know. */
  const apply = (object: object, ...flags: readonly string[]): Promise<string> =>
    plane.kubectl(
      ['apply', '--server-side', '--field-manager=mcp-keyring', ...flags, '-f', '-'],
      JSON.stringify(object),
    );
  const output = (kind: string, name: string, path: string): Promise<string> =>
    plane.kubectl(['-n', 'mcp-keyring', 'get', kind, name, '-o', `jsonpath={${path}}`]);

  const expectOperatorsWork = async (): Promise<void> => {
    for (const name of secrets)
      expect([name, await output('secret', name, '.data.current')]).toEqual([name, 'bG9jYWwtMQ==']);
  };
  const expectCaBundle = async (): Promise<void> => {
    const path = '.webhooks[*].clientConfig.caBundle';
    expect(await output('mutatingwebhookconfiguration', 'mcp-keyring-inject', path)).toBe(`${caBundle} ${caBundle}`);
  };
  const publishCaBundle = (): Promise<string> =>
    apply(
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: 'mcp-keyring-inject' },
        webhooks: ['inject.mcpkeyring.io', 'agent-inject.mcpkeyring.io'].map((name) => ({
          name,
          clientConfig: { caBundle },
        })),
      },
      `--as=${operatorUser}`,
    );

  test('installs', async () => {
    await installCharts();
    expect(await output('organization', 'default', '.spec.plan')).toBe('Enterprise');
    for (const name of secrets) {
      const metadata = { name, namespace: 'mcp-keyring' };
      await apply({ apiVersion: 'v1', kind: 'Secret', metadata, data: { current: 'bG9jYWwtMQ==' } });
    }
    await publishCaBundle();
  });

  test('an upgrade changes what it should and nothing that the operator wrote', async () => {
    await run(
      upgrade,
      'upgrade',
      'mcp-keyring',
      'charts/mcp-keyring',
      '--set',
      'operator.replicas=3,sidecar.image.tag=later',
    );
    expect(await output('deployment', 'mcp-keyring-operator', '.spec.replicas')).toBe('3');
    expect(await output('configmap', 'mcp-keyring-injection', '.data.sidecarImage')).toBe('mcp-keyring-sidecar:later');
    await expectOperatorsWork();
    await expectCaBundle();
  });

  test('a rollback too', async () => {
    await run(upgrade, 'rollback', 'mcp-keyring', '1');
    expect(await output('deployment', 'mcp-keyring-operator', '.spec.replicas')).toBe('2');
    await expectOperatorsWork();
    await expectCaBundle();
  });

  test('an upgrade by force loses no key either', async () => {
    const force = upgrade === 'helm' ? '--force-replace' : '--force';
    await run(upgrade, 'upgrade', 'mcp-keyring', 'charts/mcp-keyring', force, '--server-side=false').catch(
      () => undefined,
    );
    await run(upgrade, 'upgrade', 'mcp-keyring', 'charts/mcp-keyring', force).catch(() => undefined);
    for (const name of secrets.filter((secret) => secret !== 'mcp-keyring-tls')) {
      expect([name, await output('secret', name, '.data.current')]).toEqual([name, 'bG9jYWwtMQ==']);
    }
    await run(upgrade, 'rollback', 'mcp-keyring', '1');
  });

  test('uninstalling takes policies and webhook away and leaves what users own, and installing again takes it over', async () => {
    const server = {
      apiVersion: 'mcpkeyring.io/v1alpha1',
      kind: 'McpServer',
      metadata: { name: 'github', namespace: 'default' },
      spec: { upstream: { workload: { port: 8080 } } },
    };
    await plane.kubectl(['apply', '-f', '-'], JSON.stringify(server));
    await run(upgrade, 'uninstall', 'mcp-keyring');
    await run(upgrade, 'uninstall', 'mcp-keyring-crds');
    const kinds =
      'validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations,clusterroles';
    expect(await plane.kubectl(['get', kinds, '-o', 'name'])).not.toContain('mcp-keyring');
    expect(await plane.kubectl(['get', 'namespace', 'mcp-keyring-keys', '-o', 'name'])).toContain('mcp-keyring-keys');
    expect(await plane.kubectl(['get', 'mcps', '-A', '-o', 'name'])).toContain('github');
    await installCharts();
    for (const name of secrets.filter((secret) => secret !== 'mcp-keyring-tls')) {
      expect([name, await output('secret', name, '.data.current')]).toEqual([name, 'bG9jYWwtMQ==']);
    }
    expect(await plane.kubectl(['get', 'mcps', '-A', '-o', 'name'])).toContain('github');
  });
});
