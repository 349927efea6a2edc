import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { UserKey } from '#crds/v1alpha1/generated/user-key.ts';
import type { Informer } from '#operator/kube/informer.ts';
import type { RequestKey } from '#operator/kube/request-key.ts';
import type {
  ConfigMap,
  Deployment,
  EndpointSlice,
  Namespace,
  NetworkPolicy,
  PartialObjectMetadata,
  RoleBinding,
  Service,
} from '#operator/kube/resources.ts';

/** Everything the controllers look at. One informer a line; `wiring/informers.ts` says what each one selects. */
export interface Sources {
  readonly organizations: Informer<Organization>;
  readonly namespaces: Informer<Namespace>;
  readonly mcpServers: Informer<McpServer>;
  readonly userKeyPolicies: Informer<UserKeyPolicy>;
  readonly userKeys: Informer<UserKey>;
  /** Pods with the label of a server, metadata only. */
  readonly pods: Informer<PartialObjectMetadata>;
  /** Pods with the label of an agent, metadata only. */
  readonly agentPods: Informer<PartialObjectMetadata>;
  readonly services: Informer<Service>;
  /** What our Services lead to. */
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly networkPolicies: Informer<NetworkPolicy>;
  readonly deployments: Informer<Deployment>;
  /** `mcp-keyring-ca` of every namespace. */
  readonly caConfigMaps: Informer<ConfigMap>;
  /** `mcp-keyring-organization-admins` of every namespace. */
  readonly adminBindings: Informer<RoleBinding>;
  /** Certificates of remote servers: ConfigMaps with the label for it. */
  readonly caBundles: Informer<ConfigMap>;
  /** The operator's own namespace. */
  readonly operatorConfigMaps: Informer<ConfigMap>;
}

/** Adds a key to the work queue; with a delay, further changes within it cost nothing more. */
export type Enqueue = (key: RequestKey, afterMs?: number) => void;
