import type { AccessToken } from '#crds/v1alpha1/generated/access-token.ts';
import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

type Source<T extends KubeObject> = Pick<Informer<T>, 'store' | 'onChange'>;

/** The caches that the broker answers from. */
export interface BrokerSources {
  /** Every pod with a server's label; metadata is enough. */
  readonly pods: Source<KubeObject>;
  /** Every pod with the label of an agent; the same. */
  readonly agentPods: Source<KubeObject>;
  /** Every pod of the operator's namespace with the label of a gateway; the same. */
  readonly gatewayPods: Source<KubeObject>;
  readonly mcpServers: Source<McpServer>;
  readonly userKeyPolicies: Source<UserKeyPolicy>;
  readonly userKeys: Source<UserKey>;
  readonly organizations: Source<Organization>;
  readonly accessTokens: Source<AccessToken>;
  readonly namespaces: Source<KubeObject>;
  /** Certificates of remote servers. */
  readonly caBundles: Source<ConfigMap>;
}
