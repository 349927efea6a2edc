import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import { caBundleKey } from '#operator/certificates/publication.ts';
import { apiVersion, caConfigMapName, labels } from '#crds/v1alpha1/names.ts';

import type { DesiredObject } from '../decision.ts';

/** The CA that sidecars of `namespace` trust the broker by. It goes with its Organization. */
export function desiredCaConfigMap(owner: Organization, namespace: string, caBundle: string): DesiredObject {
  const { name, uid = '' } = owner.metadata;
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: caConfigMapName,
      namespace,
      labels: { [labels.managed]: 'true', 'app.kubernetes.io/managed-by': 'mcp-keyring' },
      ownerReferences: [{ apiVersion, kind: 'Organization', name, uid, controller: true }],
    },
    data: { [caBundleKey]: caBundle },
  };
}
