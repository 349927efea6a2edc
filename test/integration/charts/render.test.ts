import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

import { describe, expect, test } from 'vitest';

import {
  brokerAudience,
  gatewayName,
  intakeConfigMapName,
  labels,
  sidecarContainerName,
  sidecarVolumeNames,
} from '#crds/v1alpha1/names.ts';
import { baselineCapabilities, meshInitCapabilities } from '#operator/admission/inject/privileges.ts';
import { parseOptions } from '#operator/options.ts';
import { parseOptions as parseProxyOptions } from '#sidecar/options.ts';
import { helm, type Manifest, manifestsIn, render, renderText, repository } from './helm.ts';

const goldens = join(repository, 'test/golden/chart');
const cases = readdirSync(goldens)
  .filter((file) => file.endsWith('.values.yaml'))
  .map((file) => file.replace('.values.yaml', ''));
const valuesOf = (name: string): readonly string[] => ['--values', join(goldens, `${name}.values.yaml`)];

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const rulesOf = (manifest: Manifest): readonly Rule[] => (manifest['rules'] ?? []) as readonly Rule[];

function ofKind(manifests: readonly Manifest[], ...kinds: readonly string[]): readonly Manifest[] {
  return manifests.filter(({ kind }) => kinds.includes(kind));
}

describe.each(cases)('the chart with the values %s', (name) => {
  test('renders as the golden file says; UPDATE_GOLDEN=1 writes it anew', async () => {
    const text = await renderText(valuesOf(name));
    const path = join(goldens, `${name}.golden.yaml`);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
    expect(text).toBe(readFileSync(path, 'utf8'));
  });

  test('renders the same objects with Helm 3', async () => {
    const byName = (text: string): readonly Manifest[] =>
      manifestsIn(text).toSorted((a, b) =>
        `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`),
      );
    expect(byName(await renderText(valuesOf(name), 'helm3'))).toEqual(byName(await renderText(valuesOf(name))));
  });

  test('starts the operator with arguments that it knows, and the namespaces that policies leave alone', async () => {
    const manifests = await render(valuesOf(name));
    const [args = []] = ofKind(manifests, 'Deployment')
      .filter(({ metadata }) => metadata.name === 'mcp-keyring-operator')
      .flatMap(({ spec }) => (spec as DeploymentSpec).template.spec.containers.map((container) => container.args));
    const parsed = parseOptions(args.map((text) => text.replace('$(POD_NAME)', 'operator-0')));
    if (parsed.kind !== 'options') throw new Error(JSON.stringify(parsed));
    const excluded = [...parsed.options.excludedNamespaces];
    expect(excluded).toEqual(expect.arrayContaining(['kube-system', 'mcp-keyring', parsed.options.keyNamespace]));
    const guards = JSON.stringify(ofKind(manifests, 'ValidatingAdmissionPolicy', 'MutatingWebhookConfiguration'));
    const lists = [...guards.matchAll(/"operator":"NotIn","values":(\[[^\]]*\])/gu)].map(([, list = '']) => list);
    expect(new Set(lists)).toEqual(new Set([JSON.stringify(excluded)]));
  });

  test('starts the gateway with arguments that it knows, as the broker knows it', async () => {
    const manifests = await render(valuesOf(name));
    const [gateway] = ofKind(manifests, 'Deployment').filter(({ metadata }) => metadata.name === gatewayName);
    if (gateway === undefined) return expect(name).toBe('bare');
    const { template } = gateway['spec'] as DeploymentSpec;
    const [container] = template.spec.containers;
    const parsed = parseProxyOptions(container?.args ?? []);
    expect(parsed).toMatchObject({ kind: 'options', options: { serving: { mode: 'gateway' } } });
    expect(template.metadata?.labels).toMatchObject({ [labels.gateway]: 'true' });
    expect(JSON.stringify(template.spec)).toContain(`"audience":"${brokerAudience}"`);
    // Neither its account nor its pods get any right.
    expect(JSON.stringify(ofKind(manifests, 'RoleBinding', 'ClusterRoleBinding'))).not.toContain(gatewayName);
  });

  test('gives no right on Secrets beyond one namespace, and none by wildcard', async () => {
    const manifests = await render(valuesOf(name));
    for (const role of ofKind(manifests, 'ClusterRole')) {
      for (const { resources } of rulesOf(role)) expect(resources).not.toContain('secrets');
    }
    for (const role of ofKind(manifests, 'ClusterRole', 'Role')) {
      for (const { apiGroups, resources, resourceNames, verbs } of rulesOf(role)) {
        expect([...apiGroups, ...resources, ...verbs].filter((entry) => entry.includes('*'))).toEqual([]);
        const mayBind = resourceNames?.join() === 'mcp-keyring-admin';
        const strong = mayBind ? ['escalate', 'impersonate'] : ['escalate', 'bind', 'impersonate'];
        expect(verbs.filter((verb) => strong.includes(verb))).toEqual([]);
      }
    }
    const named = ofKind(manifests, 'Role')
      .filter(({ metadata }) => metadata.namespace === 'mcp-keyring')
      .flatMap(rulesOf)
      .filter(({ resources }) => resources.includes('secrets'));
    expect(named.map(({ resourceNames }) => resourceNames?.length)).toEqual([4]);
    expect(named.flatMap(({ verbs }) => verbs)).not.toContain('create');
  });

  test('renders Secrets and the CA bundle of the webhook without data, so that Helm never owns it', async () => {
    const manifests = await render(valuesOf(name));
    const secrets = ofKind(manifests, 'Secret');
    expect(secrets).toHaveLength(4);
    for (const secret of secrets) {
      expect(Object.keys(secret)).not.toEqual(expect.arrayContaining(['data']));
      expect(Object.keys(secret)).not.toEqual(expect.arrayContaining(['stringData']));
      expect(secret.metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    }
    expect(JSON.stringify(ofKind(manifests, 'MutatingWebhookConfiguration'))).not.toContain('caBundle');
  });

  test('runs every container restricted and without a token that it did not ask for', async () => {
    const specs = podSpecsOf(await render(valuesOf(name)));
    expect(specs.length).toBeGreaterThanOrEqual(2);
    for (const spec of specs) {
      expect(spec).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of spec.containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
    }
  });
});

interface DeploymentSpec {
  readonly template: {
    readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
    readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] };
  };
}

interface PodSpec {
  readonly containers: readonly { readonly securityContext: object }[];
}

function podSpecsOf(manifests: readonly Manifest[]): readonly PodSpec[] {
  return [
    ...ofKind(manifests, 'Pod').map(({ spec }) => spec as PodSpec),
    ...ofKind(manifests, 'Deployment', 'Job').map(
      ({ spec }) => (spec as { template: { spec: PodSpec } }).template.spec,
    ),
  ];
}

describe('the policies of the chart', () => {
  test('name what the code names', async () => {
    const manifests = await render();
    const policy = (name: string): string =>
      JSON.stringify(ofKind(manifests, 'ValidatingAdmissionPolicy').find(({ metadata }) => metadata.name === name));
    const required = policy('mcp-keyring-sidecar-required');
    for (const name of [...sidecarVolumeNames, sidecarContainerName, brokerAudience]) {
      expect(required).toContain(`'${name}'`);
    }
    const debugging = policy('mcp-keyring-sidecar-debugging');
    for (const name of sidecarVolumeNames) expect(debugging).toContain(`'${name}'`);
    const baseline = `[${baselineCapabilities.map((name) => `'${name}'`).join(', ')}]`;
    for (const text of [required, debugging]) expect(text).toContain(baseline);
    expect(required).toContain(`[${meshInitCapabilities.map((name) => `'${name}'`).join(', ')}]`);
    expect(JSON.stringify(ofKind(manifests, 'Role'))).toContain(intakeConfigMapName);
  });

  test('all deny, and fail closed', async () => {
    const manifests = await render();
    const bindings = ofKind(manifests, 'ValidatingAdmissionPolicyBinding');
    const policies = ofKind(manifests, 'ValidatingAdmissionPolicy');
    expect(bindings.map(({ metadata }) => metadata.name).toSorted()).toEqual(
      policies.map(({ metadata }) => metadata.name).toSorted(),
    );
    for (const { spec } of policies) expect(spec).toMatchObject({ failurePolicy: 'Fail' });
    for (const { spec } of bindings) {
      expect((spec as { validationActions: readonly string[] }).validationActions).toContain('Deny');
    }
  });

  test('leave namespaces of Kubernetes and of MCP Keyring alone, and the webhook the same ones', async () => {
    const excluded = ['kube-system', 'kube-public', 'kube-node-lease', 'mcp-keyring', 'mcp-keyring-keys'];
    const text = JSON.stringify(await render());
    expect(text.split(JSON.stringify(excluded))).toHaveLength(10);
  });
});

describe('the size at which the audit log counts as full', () => {
  const gibibyte = 1024 ** 3;
  const claim = 'audit.existingClaim=audit';

  test.each([
    ['three quarters of the volume', [], 1.5 * gibibyte],
    ['three quarters of a larger volume', ['audit.sizeLimit=100Gi'], 75 * gibibyte],
    ['what is set', ['audit.maxSize=512Mi'], gibibyte / 2],
    ['four fifths of the volume at most', ['audit.sizeLimit=5Gi', 'audit.maxSize=4Gi'], 4 * gibibyte],
    ['anything with a claim', [claim, 'audit.maxSize=1Ti'], 1024 * gibibyte],
    ['the same as without one, with a claim and no size', [claim], 1.5 * gibibyte],
  ])('is %s', async (_, settings, bytes) => {
    for (const program of ['helm', 'helm3'] as const) {
      const text = await renderText(
        settings.flatMap((setting) => ['--set', setting]),
        program,
      );
      const args = [...text.matchAll(/--audit-bytes-max=(.*)$/gmu)].map((match) => match[1]);
      expect(args).toEqual([String(bytes)]);
      expect(parseOptions([`--audit-bytes-max=${bytes}`]).kind).toBe('options');
    }
  });

  test.each([
    ['more than four fifths of the volume', ['audit.maxSize=1639Mi'], 'more than 80 % of audit.sizeLimit'],
    ['more than the volume', ['audit.maxSize=8Gi'], 'the kubelet would evict the operator'],
    ['less than the operator takes', ['audit.sizeLimit=16Mi'], 'from 16Mi to 1Ti'],
    ['more than the operator takes', [claim, 'audit.maxSize=2Ti'], 'from 16Mi to 1Ti'],
    ['a number without unit', ['audit.maxSize=1000000000'], 'audit'],
    ['a decimal unit', ['audit.maxSize=1G'], 'audit/maxSize'],
  ])('is refused: %s', async (_, settings, message) => {
    await expect(renderText(settings.flatMap((setting) => ['--set', setting]))).rejects.toThrow(message);
  });
});

describe('wrong values', () => {
  test.each([
    ['a misspelt name', 'operator.replica=3', "additional properties 'replica' not allowed"],
    [
      'a password of the forward proxy',
      'gateway.httpsProxy.url=http://user:secret@proxy.example.com:3128',
      'httpsProxy',
    ],
    ['a misspelt group', 'operators.replicas=3', "additional properties 'operators' not allowed"],
    ['text for a number', 'operator.replicas=many', 'operator/replicas'],
    ['an unknown log level', 'operator.logLevel=loud', 'operator/logLevel'],
    ['an unknown target', 'operator.targets={dashboard}', 'operator/targets'],
    ['a grace period that is too short', 'operator.terminationGracePeriodSeconds=5', 'terminationGracePeriodSeconds'],
    ['half a digest', 'sidecar.image.digest=sha256:12', 'sidecar/image/digest'],
    ['root', 'operator.runAsUser=0', 'operator/runAsUser'],
    ['an issuer over http', 'organization.issuers[0].issuerURL=http://a', 'issuerURL'],
  ])('%s is refused: %s', async (_, setting, message) => {
    await expect(renderText(['--set', setting])).rejects.toThrow(message);
    await expect(renderText(['--set', setting], 'helm3')).rejects.toThrow(
      "values don't meet the specifications of the schema",
    );
  });
});

test.each(['helm', 'helm3'] as const)('%s lint finds nothing', async (program) => {
  expect(await helm(['lint', '--strict', 'charts/mcp-keyring', 'charts/mcp-keyring-crds'], program)).toContain(
    '0 chart(s) failed',
  );
});
