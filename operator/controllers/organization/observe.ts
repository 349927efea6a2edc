import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { ConfigMap, Namespace, RoleBinding } from '#operator/kube/resources.ts';
import { ownersOf } from '#operator/tenancy/informer-tenancy.ts';
import { selects } from '#operator/tenancy/label-selector.ts';
import { type ResolvedIssuer, resolveIssuers } from '#operator/tenancy/trusted-issuers.ts';

import type { RequestKey } from '#operator/kube/request-key.ts';
import type { Sources } from '../sources.ts';
import type { IssuerProber, OidcIssuer, Probe } from './issuer-prober.ts';

/** One namespace that the organization selects. */
export interface SelectedNamespace {
  readonly name: string;
  /** Others that select it too; none: it is ours. */
  readonly rivals: readonly string[];
  /** Whether an McpServer or an agent is there, so that sidecars will need the CA. */
  readonly needsCa: boolean;
  readonly terminating: boolean;
}

export type ObservedIssuer =
  | { readonly kind: 'oidc'; readonly issuer: OidcIssuer; readonly probe: Probe }
  | { readonly kind: 'kubernetes' }
  | Exclude<ResolvedIssuer, { kind: 'trusted' }>;

/** What an Organization is decided from. */
export interface ObservedOrganization {
  readonly object: Organization;
  readonly namespaces: readonly SelectedNamespace[];
  /** Names of namespaces that it selects and can never have, because admission does not look there. */
  readonly excluded: readonly string[];
  readonly issuers: readonly ObservedIssuer[];
  /** PEM that sidecars trust the broker by; undefined until the certificates are there. */
  readonly caBundle: string | undefined;
  /** The key-encryption key that new data keys are wrapped with. */
  readonly kekId: string | undefined;
  /** Every `mcp-keyring-ca` that is there now. */
  readonly published: readonly ConfigMap[];
  /** Every `mcp-keyring-organization-admins` that is there now. */
  readonly adminBindings: readonly RoleBinding[];
}

export interface OrganizationObserver {
  readonly sources: Sources;
  readonly prober: Pick<IssuerProber, 'known'>;
  readonly operatorNamespace: string;
  readonly excludedNamespaces: ReadonlySet<string>;
  readonly clusterIssuerURL: string | undefined;
  readonly caBundle: () => string | undefined;
  readonly kekId: () => string | undefined;
}

/** Reads caches only. */
export function observeOrganization(
  from: OrganizationObserver,
  { name }: RequestKey,
): ObservedOrganization | undefined {
  const { sources } = from;
  const object = sources.organizations.store.get(undefined, name);
  if (object === undefined) return undefined;
  const everyOrganization = sources.organizations.store.list();
  const withSidecars = namespacesOf([...sources.mcpServers.store.list(), ...sources.agentPods.store.list()]);
  const selected = sources.namespaces.store
    .list()
    .filter(({ metadata }) => selects(object.spec.namespaceSelector, metadata.labels));
  const isExcluded = ({ metadata }: Namespace): boolean => from.excludedNamespaces.has(metadata.name);
  return {
    object,
    namespaces: selected
      .filter((namespace) => !isExcluded(namespace))
      .map((namespace) => ({
        name: namespace.metadata.name,
        rivals: rivalsOf(object, namespace, everyOrganization),
        needsCa: withSidecars.has(namespace.metadata.name),
        terminating: namespace.metadata.deletionTimestamp !== undefined,
      })),
    excluded: selected.filter(isExcluded).map(({ metadata }) => metadata.name),
    issuers: observeIssuers(from, object),
    caBundle: from.caBundle(),
    kekId: from.kekId(),
    published: sources.caConfigMaps.store.list(),
    adminBindings: sources.adminBindings.store.list(),
  };
}

function namespacesOf(objects: readonly KubeObject[]): ReadonlySet<string | undefined> {
  return new Set(objects.map(({ metadata }) => metadata.namespace));
}

function rivalsOf(self: KubeObject, namespace: Namespace, all: readonly Organization[]): readonly string[] {
  return ownersOf(namespace, all)
    .map(({ metadata }) => metadata.name)
    .filter((name) => name !== self.metadata.name);
}

function observeIssuers(from: OrganizationObserver, object: Organization): readonly ObservedIssuer[] {
  const configMap = (name: string): ConfigMap | undefined =>
    from.sources.operatorConfigMaps.store.get(from.operatorNamespace, name);
  return resolveIssuers(object, { configMap, clusterIssuerURL: from.clusterIssuerURL }).map((resolved) => {
    if (resolved.kind !== 'trusted') return resolved;
    const { issuer } = resolved;
    if (issuer.type === 'Kubernetes') return { kind: 'kubernetes' };
    return { kind: 'oidc', issuer, probe: from.prober.known(issuer) };
  });
}
