import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';

import type { Bound } from './bound-policies.ts';

/** A header that a server reads a user key from, after every policy had its say. */
export interface EffectiveHeader {
  /** As the McpServer spells it. */
  readonly name: string;
  /** The field value, with `{value}` where the key goes. */
  readonly template: string;
  readonly title?: string;
  readonly help?: string;
  readonly helpURL?: string;
  readonly required: boolean;
  readonly decidedBy: HeaderDecision;
}

/** Who said that a header is required or optional. */
export type HeaderDecision =
  | { readonly kind: 'server' }
  /** The UserKeyPolicy of that name; of several that agree, the first by name. */
  | { readonly kind: 'policy'; readonly policy: string };

/**
 * Pure. The headers of the server in the order it declares them. The strictest wins: required by any policy, else optional by any,
 * else what the server says. A policy cannot add a header that the server does not declare.
 */
export function effectiveHeaders({ server, policies }: Bound): readonly EffectiveHeader[] {
  return server.spec.authentication.headers.map((declared) => {
    const { name, title, help, helpURL } = declared;
    return {
      name,
      template: declared.template,
      ...(title === undefined ? {} : { title }),
      ...(help === undefined ? {} : { help }),
      ...(helpURL === undefined ? {} : { helpURL }),
      ...decideRequired(name, declared.required, policies),
    };
  });
}

/** HTTP field names are compared without case (RFC 9110, 5.1). */
export function sameHeader(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}

function decideRequired(
  name: string,
  declared: boolean,
  policies: readonly UserKeyPolicy[],
): Pick<EffectiveHeader, 'required' | 'decidedBy'> {
  const requiring = policies.find((policy) => policy.spec.keys?.required?.some((other) => sameHeader(other, name)));
  if (requiring !== undefined) return { required: true, decidedBy: byPolicy(requiring) };
  const releasing = policies.find((policy) => policy.spec.keys?.optional?.some((other) => sameHeader(other, name)));
  if (releasing !== undefined) return { required: false, decidedBy: byPolicy(releasing) };
  return { required: declared, decidedBy: { kind: 'server' } };
}

function byPolicy(policy: UserKeyPolicy): HeaderDecision {
  return { kind: 'policy', policy: policy.metadata.name };
}
