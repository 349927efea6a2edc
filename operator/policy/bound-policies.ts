import type { McpServer } from '#crds/v1alpha1/generated/mcp-server.ts';
import type { UserKeyPolicy, UserKeyPolicySubjects } from '#crds/v1alpha1/generated/user-key-policy.ts';
import type { Subject } from '#contract/lease.ts';
import { kubernetesSubjectIssuer } from '#contract/set-command.ts';
import { selects } from '#operator/tenancy/label-selector.ts';

/** A user as policies tell users apart. */
export interface PolicyUser {
  readonly subject: Pick<Subject, 'issuer' | 'id'>;
  /** Those that their issuer says they are in; while they are not there, those on record. */
  readonly groups: readonly string[];
}

/** Whose policies are asked for. */
export type Whom =
  /** Those that hold for each user, whoever it is. */
  | { readonly kind: 'everyUser' }
  /** Those that hold for this one. */
  | { readonly kind: 'user'; readonly user: PolicyUser }
  /** Those that hold for this one, and not for everybody. */
  | { readonly kind: 'onlyUser'; readonly user: PolicyUser }
  /** Those that hold for somebody. */
  | { readonly kind: 'someUser' };

/** A server with the policies that decide about it. Only `bind` makes them, so nothing is decided by a policy of others. */
export interface Bound {
  readonly server: McpServer;
  /** By name, so that of several that agree it is always the same one that counts as who decided. */
  readonly policies: readonly UserKeyPolicy[];
}

/** Pure. Policies of other namespaces, servers and users are left out here, so callers may pass all they have. */
export function bind(server: McpServer, policies: readonly UserKeyPolicy[], whom: Whom): Bound {
  return { server, policies: policiesOf(server, policies).filter((policy) => concerns(policy, whom)) };
}

/** The policies that are for `server`, whomever they are about, by name. One that is being deleted binds until it is gone. */
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

function concerns({ spec: { subjects } }: UserKeyPolicy, whom: Whom): boolean {
  switch (whom.kind) {
    case 'everyUser':
      return subjects === undefined;
    case 'user':
      return subjects === undefined || includes(subjects, whom.user);
    case 'onlyUser':
      return subjects !== undefined && includes(subjects, whom.user);
    case 'someUser':
      return true;
    default:
      return whom satisfies never;
  }
}

/** By any one of the lists. Names that people see do not count: whoever may change theirs would choose their policies. */
function includes(
  { groups = [], users = [], serviceAccounts = [] }: UserKeyPolicySubjects,
  { subject, groups: theirs }: PolicyUser,
): boolean {
  if (users.includes(subject.id) || groups.some((group) => theirs.includes(group))) return true;
  if (subject.issuer !== kubernetesSubjectIssuer) return false;
  return serviceAccounts.some(({ namespace, name }) => subject.id === `system:serviceaccount:${namespace}:${name}`);
}
