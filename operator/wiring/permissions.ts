import { adminsBindingName, adminsClusterRoleName, caConfigMapName, group } from '#crds/v1alpha1/names.ts';
import { describePermission, missingPermissions } from '#operator/kube/access-check.ts';
import type { ResourceAttributes } from '#operator/kube/resources.ts';
import type { OperatorOptions } from '#operator/options.ts';

import type { Platform } from './platform.ts';

const rbac = 'rbac.authorization.k8s.io';
const read = ['get', 'list', 'watch'] as const;
const own = [...read, 'create', 'patch', 'delete'] as const;

interface Rule extends Omit<ResourceAttributes, 'verb'> {
  readonly verbs: readonly string[];
}

/** What the operator does to the API server, in the order of the chart's roles. */
export function neededPermissions({ namespace, keyNamespace }: OperatorOptions): readonly ResourceAttributes[] {
  const rules: readonly Rule[] = [
    { group, resource: 'organizations', verbs: read },
    { group, resource: 'organizations', subresource: 'status', verbs: ['patch'] },
    { group, resource: 'mcpservers', verbs: read },
    { group, resource: 'mcpservers', subresource: 'status', verbs: ['patch'] },
    { group, resource: 'userkeypolicies', verbs: read },
    { group, resource: 'userkeypolicies', subresource: 'status', verbs: ['patch'] },
    { group, resource: 'userkeys', verbs: own },
    { group, resource: 'userkeys', subresource: 'status', verbs: ['patch'] },
    { group, resource: 'userkeyrequests', verbs: [...read, 'delete'] },
    { group, resource: 'userkeyrequests', subresource: 'status', verbs: ['patch'] },
    { group, resource: 'accesstokens', verbs: [...read, 'create', 'delete'] },
    { group, resource: 'accesstokens', subresource: 'status', verbs: ['patch'] },
    { resource: 'namespaces', verbs: read },
    { resource: 'pods', verbs: read },
    { resource: 'services', verbs: own },
    { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: read },
    { group: 'apps', resource: 'deployments', verbs: own },
    { group: 'networking.k8s.io', resource: 'networkpolicies', verbs: own },
    { resource: 'configmaps', name: caConfigMapName, verbs: own },
    { resource: 'configmaps', verbs: ['list', 'watch'] },
    { group: rbac, resource: 'rolebindings', name: adminsBindingName, verbs: own },
    { group: rbac, resource: 'clusterroles', name: adminsClusterRoleName, verbs: ['bind'] },
    { group: 'authentication.k8s.io', resource: 'tokenreviews', verbs: ['create'] },
    { group: 'authorization.k8s.io', resource: 'subjectaccessreviews', verbs: ['create'] },
    { group: 'events.k8s.io', resource: 'events', verbs: ['create', 'patch'] },
    { resource: 'configmaps', namespace, verbs: read },
    {
      group: 'coordination.k8s.io',
      resource: 'leases',
      namespace,
      name: 'mcp-keyring-operator',
      verbs: ['get', 'update'],
    },
    ...['kek', 'index', 'tls', 'intake'].map((part): Rule => ({
      resource: 'secrets',
      namespace,
      name: `mcp-keyring-${part}`,
      verbs: ['get', 'update'],
    })),
    { resource: 'secrets', namespace: keyNamespace, verbs: [...read, 'create', 'update', 'delete'] },
  ];
  return rules.flatMap(({ verbs, ...attributes }) => verbs.map((verb) => ({ ...attributes, verb })));
}

/** Says once, at start, what this ServiceAccount may not do. Never fatal: what is missing may not be needed today. */
export async function reportMissingPermissions(platform: Platform, signal: AbortSignal): Promise<void> {
  const { client, log, options } = platform;
  try {
    const missing = await missingPermissions(client, neededPermissions(options), signal);
    if (missing.length === 0) log.info('all permissions are there');
    else log.error('permissions are missing; install the chart again', { missing: missing.map(describePermission) });
  } catch (error) {
    if (!signal.aborted) log.warn('permissions could not be checked', error instanceof Error ? { error } : {});
  }
}
