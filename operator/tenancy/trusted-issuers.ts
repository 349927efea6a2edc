import type { Organization, OrganizationIssuer } from '#crds/v1alpha1/generated/organization.ts';
import type { TrustedIssuer } from '#operator/identity/identification.ts';
import type { ConfigMap } from '#operator/kube/resources.ts';

/** Reads a ConfigMap of the operator's namespace. */
export type ConfigMapLookup = (name: string) => ConfigMap | undefined;

/** An issuer as declared, and what became of it. */
export type ResolvedIssuer =
  | { readonly kind: 'trusted'; readonly issuer: TrustedIssuer }
  /** The CA bundle is named but not there. Never trusted with the system's roots instead. */
  | { readonly kind: 'caBundleMissing'; readonly name: string; readonly configMap: string; readonly key: string };

/** Every issuer of `organization`, CA bundles filled in. */
export function resolveIssuers(organization: Organization, configMap: ConfigMapLookup): readonly ResolvedIssuer[] {
  return organization.spec.identity.issuers.map((issuer) => resolveIssuer(issuer, configMap));
}

/** Those that may vouch for a user. */
export function trustedIssuers(organization: Organization, configMap: ConfigMapLookup): readonly TrustedIssuer[] {
  return resolveIssuers(organization, configMap).flatMap((resolved) =>
    resolved.kind === 'trusted' ? [resolved.issuer] : [],
  );
}

function resolveIssuer(declared: OrganizationIssuer, configMap: ConfigMapLookup): ResolvedIssuer {
  const { name, audiences, issuerURL = '', claims, caBundleRef } = declared;
  if (declared.type === 'Kubernetes') return { kind: 'trusted', issuer: { type: 'Kubernetes', name, audiences } };
  const { subject, groups } = claims;
  const oidc = { type: 'OIDC', name, issuerURL, audiences, claims: { subject, groups, name: claims.name } } as const;
  if (caBundleRef === undefined) return { kind: 'trusted', issuer: oidc };
  const caBundle = configMap(caBundleRef.name)?.data?.[caBundleRef.key];
  if (caBundle === undefined || caBundle.trim() === '') {
    return { kind: 'caBundleMissing', name, configMap: caBundleRef.name, key: caBundleRef.key };
  }
  return { kind: 'trusted', issuer: { ...oidc, caBundle } };
}
