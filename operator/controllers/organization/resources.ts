import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import { caBundleKey } from '#operator/certificates/publication.ts';
import { adminsBindingName, adminsClusterRoleName, apiVersion, caConfigMapName, labels } from '#crds/v1alpha1/names.ts';

import type { DesiredObject } from '../decision.ts';

const rbac = 'rbac.authorization.k8s.io';

/** What makes the admins of an Organization administrators of its `namespace`. It goes with its Organization. */
export function desiredAdminsBinding(owner: Organization, namespace: string): DesiredObject {
  const { users = [], groups = [] } = owner.spec.admins ?? {};
  const subject = (kind: 'User' | 'Group') => (name: string) => ({ apiGroup: rbac, kind, name });
  return {
    apiVersion: `${rbac}/v1`,
    kind: 'RoleBinding',
    metadata: metadataOf(owner, { namespace, name: adminsBindingName }),
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: adminsClusterRoleName },
    subjects: [...users.map(subject('User')), ...groups.map(subject('Group'))],
  };
}

/** The CA that sidecars of `namespace` trust the broker by. It goes with its Organization. */
export function desiredCaConfigMap(owner: Organization, namespace: string, caBundle: string): DesiredObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf(owner, { namespace, name: caConfigMapName }),
    data: { [caBundleKey]: caBundle },
  };
}

function metadataOf({ metadata }: Organization, place: { readonly namespace: string; readonly name: string }) {
  const { name, uid = '' } = metadata;
  return {
    name: place.name,
    namespace: place.namespace,
    labels: { [labels.managed]: 'true', 'app.kubernetes.io/managed-by': 'mcp-keyring' },
    ownerReferences: [{ apiVersion, kind: 'Organization', name, uid, controller: true }],
  };
}
