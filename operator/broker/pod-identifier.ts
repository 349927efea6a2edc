import { PodIdentifier } from '#operator/identity/pod-identity.ts';
import type { TokenReviewer } from '#operator/identity/token-review.ts';
import { organizationNameOf, type TenancyIndex } from '#operator/tenancy/tenancy.ts';

import type { BrokerSources } from './sources.ts';

export interface PodIdentifierSources {
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  readonly sources: Pick<BrokerSources, 'pods' | 'agentPods' | 'gatewayPods' | 'mcpServers'>;
  readonly tenancy: TenancyIndex;
  readonly operatorNamespace: string;
}

/** Judges pods by what the caches hold of them, of their servers and of their organizations. */
export function createPodIdentifier({
  reviewer,
  sources,
  tenancy,
  operatorNamespace,
}: PodIdentifierSources): PodIdentifier {
  const { pods, agentPods, gatewayPods, mcpServers } = sources;
  return new PodIdentifier({
    reviewer,
    podOfUid: (uid) => pods.store.getByUid(uid) ?? agentPods.store.getByUid(uid) ?? gatewayPods.store.getByUid(uid),
    organizationOf: (namespace) => organizationNameOf(tenancy, namespace),
    operatorNamespace,
    isRemote: ({ namespace, name }) => mcpServers.store.get(namespace, name)?.spec.upstream.remote !== undefined,
  });
}
