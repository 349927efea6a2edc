import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy } from '#crds/v1alpha1/generated/user-key-policy.ts';
import { selects } from '#operator/tenancy/label-selector.ts';

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
 * The headers of `server` in the order it declares them. Policies of other namespaces or for other servers are left out here, so
 * callers may pass all they have. The strictest wins: required by any policy, else optional by any, else what the server says.
 * A policy cannot add a header that the server does not declare.
 */
export function effectiveHeaders(server: McpServer, policies: readonly UserKeyPolicy[]): readonly EffectiveHeader[] {
  const bound = policiesOf(server, policies);
  return server.spec.authentication.headers.map((declared) => {
    const { name, title, help, helpURL } = declared;
    return {
      name,
      template: declared.template,
      ...(title === undefined ? {} : { title }),
      ...(help === undefined ? {} : { help }),
      ...(helpURL === undefined ? {} : { helpURL }),
      ...decideRequired(name, declared.required, bound),
    };
  });
}

/** The policies that are for `server`, by name. One that is being deleted binds until it is gone. */
export function policiesOf(server: McpServer, policies: readonly UserKeyPolicy[]): readonly UserKeyPolicy[] {
  return policies
    .filter((policy) => policy.metadata.namespace === server.metadata.namespace && isFor(policy, server))
    .toSorted((left, right) => (left.metadata.name < right.metadata.name ? -1 : 1));
}

/** Whether `policy` names or selects `server`; both are of one namespace. */
export function isFor(policy: UserKeyPolicy, server: McpServer): boolean {
  const { names, selector } = policy.spec.servers;
  if (names !== undefined) return names.includes(server.metadata.name);
  return selects(selector, server.metadata.labels);
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
