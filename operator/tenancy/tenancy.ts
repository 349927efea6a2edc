import type { TrustedIssuer } from '#operator/identity/identification.ts';

/** Which organization a namespace belongs to; answered from informer caches, never from the API server. */
export type Tenancy =
  | {
      readonly kind: 'organization';
      readonly name: string;
      readonly issuers: readonly TrustedIssuer[];
      /** Absent: Enterprise. */
      readonly plan?: 'Standard';
      /** Absent: it has none, and those that are there count for nothing. */
      readonly accessTokens?: { readonly maxAgeMs: number };
    }
  /** `excluded`: whatever organizations select, admission does not look there, so no pod there can be believed. */
  | { readonly kind: 'none'; readonly excluded?: true }
  /** Several organizations select it: nobody serves it until that is settled. */
  | { readonly kind: 'conflict'; readonly organizations: readonly string[] };

export interface TenancyIndex {
  organizationOf(namespace: string): Tenancy;
}

/** `undefined` where nobody, or more than one, is meant. */
export function organizationNameOf(tenancy: TenancyIndex, namespace: string): string | undefined {
  const owner = tenancy.organizationOf(namespace);
  return owner.kind === 'organization' ? owner.name : undefined;
}
