import type { Organization, OrganizationIssuer } from '#crds/v1alpha1/generated/organization.ts';
import type { TrustedIssuer } from '#operator/identity/identification.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

/** Reads a ConfigMap of the operator's namespace. */
export type ConfigMapLookup = (name: string) => ConfigMap | undefined;

/** What issuers are resolved with. */
export interface IssuerSources {
  readonly configMap: ConfigMapLookup;
  /** `iss` of this cluster's own tokens, when it is known. */
  readonly clusterIssuerURL?: string | undefined;
}

/** An issuer as declared, and what became of it. */
export type ResolvedIssuer =
  | { readonly kind: 'trusted'; readonly issuer: TrustedIssuer }
  /** The CA bundle is named but not there. Never trusted with the system's roots instead. */
  | { readonly kind: 'caBundleMissing'; readonly name: string; readonly configMap: string; readonly key: string }
  /**
   * It is this cluster, as if it were an OpenID Connect provider. Checked off line, the token of a pod that is gone would go on
   * counting, and so would those for other audiences than users'.
   */
  | { readonly kind: 'clusterIssuer'; readonly name: string };

/** Every issuer of `organization`, CA bundles filled in. */
export function resolveIssuers(organization: Organization, from: IssuerSources): readonly ResolvedIssuer[] {
  return organization.spec.identity.issuers.map((issuer) => resolveIssuer(issuer, from));
}

/** Those that may vouch for a user. */
export function trustedIssuers(organization: Organization, from: IssuerSources): readonly TrustedIssuer[] {
  return resolveIssuers(organization, from).flatMap((resolved) =>
    resolved.kind === 'trusted' ? [resolved.issuer] : [],
  );
}

/** Many providers give nothing to who asks for nothing, and every OpenID provider has this one. */
const defaultScopes: readonly string[] = ['openid'];

function resolveIssuer(declared: OrganizationIssuer, { configMap, clusterIssuerURL }: IssuerSources): ResolvedIssuer {
  const { name, audiences, scopes = defaultScopes, issuerURL = '', claims, caBundleRef } = declared;
  if (declared.type === 'Kubernetes') return { kind: 'trusted', issuer: { type: 'Kubernetes', name, audiences } };
  if (clusterIssuerURL !== undefined && sameIssuer(issuerURL, clusterIssuerURL)) return { kind: 'clusterIssuer', name };
  const { subject, groups, groupsPrefix } = claims;
  const read = { subject, groups, name: claims.name, ...(groupsPrefix === undefined ? {} : { groupsPrefix }) };
  const oidc = { type: 'OIDC', name, issuerURL, audiences, scopes, claims: read } as const;
  if (caBundleRef === undefined) return { kind: 'trusted', issuer: oidc };
  const caBundle = configMap(caBundleRef.name)?.data?.[caBundleRef.key];
  if (caBundle === undefined || caBundle.trim() === '') {
    return { kind: 'caBundleMissing', name, configMap: caBundleRef.name, key: caBundleRef.key };
  }
  return { kind: 'trusted', issuer: { ...oidc, caBundle } };
}

/** A slash at the end is no other issuer. */
function sameIssuer(left: string, right: string): boolean {
  return left.replace(/\/+$/, '') === right.replace(/\/+$/, '');
}
