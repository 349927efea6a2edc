import { beforeAll, describe, expect, test } from 'vitest';

import { intakeConfigMapName } from '#crds/v1alpha1/names.ts';
import { parseOptions } from '#operator/options.ts';
import { neededPermissions } from '#operator/wiring/permissions.ts';
import { type Manifest, render } from './helm.ts';

/** One verb on one resource somewhere, as text that can be compared. */
function grantOf(verb: string, resource: string, { group = '', namespace = '*', name = '*' } = {}): string {
  return `${verb} ${group === '' ? '' : `${group}/`}${resource} in ${namespace} named ${name}`;
}

const operatorNamespace = { namespace: 'mcp-keyring' };
const ownSecrets = ['kek', 'index', 'tls', 'intake'].map((part) => `mcp-keyring-${part}`);

/** What the operator uses without asking for it at its start. */
const unasked: readonly string[] = [
  ...['list', 'watch', 'patch'].map((verb) =>
    grantOf(verb, 'mutatingwebhookconfigurations', {
      group: 'admissionregistration.k8s.io',
      name: 'mcp-keyring-inject',
    }),
  ),
  ...['create', 'patch'].map((verb) =>
    grantOf(verb, 'configmaps', { ...operatorNamespace, name: intakeConfigMapName }),
  ),
  // A lease is made once; RBAC cannot name what does not exist yet.
  grantOf('create', 'leases', { ...operatorNamespace, group: 'coordination.k8s.io' }),
  ...ownSecrets.flatMap((name) =>
    ['list', 'watch'].map((verb) => grantOf(verb, 'secrets', { ...operatorNamespace, name })),
  ),
];

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Binding extends Manifest {
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects: readonly { readonly kind: string; readonly name: string }[];
}

function isBinding(manifest: Manifest): manifest is Binding {
  return manifest.kind.endsWith('RoleBinding');
}

/** Every grant that the chart gives to the operator's ServiceAccount. */
function granted(manifests: readonly Manifest[]): readonly string[] {
  const bindings = manifests.filter(isBinding);
  return bindings
    .filter(({ subjects }) =>
      subjects.some(({ kind, name }) => kind === 'ServiceAccount' && name === 'mcp-keyring-operator'),
    )
    .flatMap(({ roleRef, metadata }) => {
      const role = manifests.find(
        ({ kind, metadata: { name, namespace } }) =>
          kind === roleRef.kind && name === roleRef.name && namespace === metadata.namespace,
      );
      return ((role?.['rules'] ?? []) as readonly Rule[]).flatMap((rule) => grantsOfRule(rule, metadata.namespace));
    });
}

function grantsOfRule(
  { apiGroups, resources, resourceNames = ['*'], verbs }: Rule,
  namespace = '*',
): readonly string[] {
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) => verbs.map((verb) => grantOf(verb, resource, { group, namespace, name }))),
    ),
  );
}

function asked(): readonly string[] {
  const parsed = parseOptions([]);
  if (parsed.kind !== 'options') throw new Error('the defaults do not parse');
  return neededPermissions(parsed.options).map(({ verb, resource, subresource, ...place }) =>
    grantOf(verb, subresource === undefined ? resource : `${resource}/${subresource}`, place),
  );
}

describe('the rights of the operator', () => {
  let grants: readonly string[];

  beforeAll(async () => {
    grants = granted(await render());
  });

  test('are all that it asks for at its start', () => {
    expect(asked().filter((grant) => !grants.includes(grant))).toEqual([]);
  });

  test('are no more than it uses', () => {
    const used = new Set([...asked(), ...unasked]);
    expect(grants.filter((grant) => !used.has(grant))).toEqual([]);
    expect(unasked.filter((grant) => !grants.includes(grant))).toEqual([]);
  });
});
