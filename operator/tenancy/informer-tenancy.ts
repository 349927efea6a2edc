import type { Organization } from '#crds/v1alpha1/generated/organization.ts';
import type { TrustedIssuer } from '#operator/identity/identification.ts';
import { accessTokenLimits } from '#operator/access-tokens/token-limits.ts';
import type { Store } from '#operator/kube/informer.ts';
import type { ConfigMap, Namespace } from '#operator/kube/resources.ts';
import { durationMs } from '#operator/policy/duration.ts';

import { selects } from './label-selector.ts';
import type { Tenancy, TenancyIndex } from './tenancy.ts';
import { trustedIssuers } from './trusted-issuers.ts';

export interface TenancySources {
  readonly organizations: Pick<Store<Organization>, 'list'>;
  readonly namespaces: Pick<Store<Namespace>, 'get'>;
  /** ConfigMaps of the operator's namespace, for CA bundles. */
  readonly configMaps: Pick<Store<ConfigMap>, 'get'>;
  readonly operatorNamespace: string;
  /** Where admission does not look: the label of a pod proves nothing there. */
  readonly excludedNamespaces: ReadonlySet<string>;
  readonly clusterIssuerURL?: string | undefined;
}

/** Answers from informer caches at the moment of asking, so a change is in force as soon as it was seen. */
export class InformerTenancy implements TenancyIndex {
  readonly #sources: TenancySources;

  constructor(sources: TenancySources) {
    this.#sources = sources;
  }

  organizationOf(namespace: string): Tenancy {
    if (this.#sources.excludedNamespaces.has(namespace)) return { kind: 'none', excluded: true };
    const found = this.#sources.namespaces.get(undefined, namespace);
    if (found === undefined) return { kind: 'none' };
    const owners = ownersOf(found, this.#sources.organizations.list());
    const [owner, ...others] = owners;
    if (owner === undefined) return { kind: 'none' };
    if (others.length > 0) return { kind: 'conflict', organizations: owners.map(({ metadata }) => metadata.name) };
    const issuers = this.#issuersOf(owner);
    const plan = owner.spec.plan === 'Standard' ? { plan: owner.spec.plan } : {};
    return { kind: 'organization', name: owner.metadata.name, issuers, ...plan, ...accessTokensOf(owner) };
  }

  #issuersOf(organization: Organization): readonly TrustedIssuer[] {
    const { configMaps, operatorNamespace, clusterIssuerURL } = this.#sources;
    const configMap = (name: string): ConfigMap | undefined => configMaps.get(operatorNamespace, name);
    return trustedIssuers(organization, { configMap, clusterIssuerURL });
  }
}

function accessTokensOf({ spec }: Organization) {
  const { enabled = false, maxAge } = spec.identity.accessTokens ?? {};
  if (!enabled) return {};
  return { accessTokens: { maxAgeMs: maxAge === undefined ? accessTokenLimits.maxAgeMs : durationMs(maxAge) } };
}

/** The organizations that select `namespace`, by name. More than one is a conflict. */
export function ownersOf(namespace: Namespace, organizations: readonly Organization[]): readonly Organization[] {
  return organizations
    .filter((organization) => selects(organization.spec.namespaceSelector, namespace.metadata.labels))
    .toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1));
}
