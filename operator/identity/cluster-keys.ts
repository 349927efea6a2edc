import type { ResourceType } from '#operator/kube/resource.ts';
import type { Transport } from '#operator/kube/transport.ts';

import { identityLimits } from './identity-limits.ts';

/** No resource; the transport wants one for its errors. */
const keySet: ResourceType = { group: '', version: '', plural: 'jwks', kind: 'JSONWebKeySet', namespaced: false };

/**
 * The public keys of ServiceAccount tokens. Every ServiceAccount may read them (ClusterRole `system:service-account-issuer-discovery`).
 * @throws KubeError
 */
export async function fetchClusterKeys(transport: Pick<Transport, 'request'>): Promise<unknown> {
  const bytes = await transport.request({
    what: 'get the keys of ServiceAccount tokens',
    type: keySet,
    method: 'GET',
    path: '/openid/v1/jwks',
    accept: 'application/jwk-set+json, application/json',
    signal: AbortSignal.timeout(identityLimits.issuerTimeoutMs),
  });
  return JSON.parse(bytes.toString('utf8'));
}
